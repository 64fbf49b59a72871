"""Serves an application from one process: sockets, signals, and a graceful shutdown.

On SIGTERM the process drains: it reports itself unready and goes on answering, so that the load balancer
stops sending; after half of DRAIN_SECONDS it closes its sockets and idle connections, finishes the requests
in flight, and exits with 0. SIGINT (Ctrl-C) or a second SIGTERM skips the first half. One of several workers
counts SIGTERM once, whoever sends it: systemd sends it to the workers and to their supervisor.
"""

import asyncio
import errno
import logging
import math
import multiprocessing
import os
import resource
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from ipaddress import IPv6Address, ip_address
from time import monotonic
from types import FrameType

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp

from serving.logs import configure_logs
from serving.setting_groups import ConnectionLimits
from serving.settings import ServerSettings
from serving.transport.connections import BURST, SEND_BUFFER, Connections
from serving.transport.draining import (
    HANDSHAKE_SECONDS,
    accept_waiting,
    close_idle,
    refuse_handshakes,
)
from serving.transport.guard import GuardedConnection
from serving.transport.ports import addresses, by_port

log = logging.getLogger("serving")

BACKLOG = 2048
ACCEPTED_AT_ONCE = 16
OTHER_FILES = 64
"""Open files besides connections: sockets that listen, models, databases, logs."""

TICKS_A_SECOND = 10

BEFORE_CANCELLING = 0.3
"""Seconds before uvicorn cancels requests, and logs each as an error, that those of slow clients are cut."""


class ServerError(Exception):
    """The server cannot start: one sentence that says what to do."""


def quiet_logs(settings: ServerSettings) -> None:
    """Log as the settings say; our own lines replace uvicorn's about its start."""
    configure_logs(settings.log_level, settings.log_format)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)


@contextmanager
def listen(settings: ServerSettings) -> Iterator[list[socket.socket]]:
    """Open the API's socket and, if METRICS_PORT is set, a second one for metrics."""
    with ExitStack() as stack:
        listeners = [stack.enter_context(listening_socket(settings.host, settings.port, "HOST and PORT"))]
        if settings.metrics_port is not None:
            listeners.append(
                stack.enter_context(listening_socket(settings.host, settings.metrics_port, "METRICS_PORT"))
            )
        yield listeners


def listening_socket(host: str, port: int, names: str) -> socket.socket:
    """Return a listening socket, on `::` one for IPv4 too; ServerError says what to change if that fails."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    dual = is_any_ipv6(host) and socket.has_dualstack_ipv6()
    try:
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG, dualstack_ipv6=dual)
    except (OSError, UnicodeError) as error:
        if getattr(error, "errno", None) == errno.EAFNOSUPPORT:
            raise ServerError(
                f"cannot listen on {shown_host(host)}: this machine has no IPv6; set HOST=0.0.0.0"
            ) from None
        said = str(getattr(error, "strerror", None) or "no name of a host").partition(" (while")[0]
        raise ServerError(f"cannot listen on {shown_host(host)} port {port} ({said}): set {names}") from None
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)  # its connections inherit that
    return listener


def is_any_ipv6(host: str) -> bool:
    """Return whether the host is `::`, however it is written."""
    try:
        return int(IPv6Address(host)) == 0
    except ValueError:
        return False


def shown_host(host: str) -> str:
    """Return an IP address as it is, and any other text as HOST: it may be a secret set by mistake."""
    try:
        return str(ip_address(host))
    except ValueError:
        return "HOST"


def serve(
    app: FastAPI,
    settings: ServerSettings,
    listeners: list[socket.socket],
    on_start: Callable[[], None] = lambda: None,
    *,
    supervised: bool = False,
) -> int:
    """Serve from this process until a signal; `on_start` is called when it accepts requests.

    `supervised` is whether other processes serve from the same sockets, and one decides for all.
    """
    config = server_config(by_port(app, listeners), settings)
    server = DrainingServer(config, app, settings.drain_seconds / 2, on_start, supervised=supervised)
    server.limit_connections(fitting(settings.connections))
    server.run([duplicate for listener in listeners for duplicate in accepting(listener)])
    return 0


def accepting(listener: socket.socket) -> list[socket.socket]:
    """Return a listening socket as often as connections may be accepted in a pass of the event loop.

    uvloop accepts one a pass: a probe would wait for as many passes as there are connections before it.
    """
    listener.setblocking(False)  # a copy takes that over: were it to block, so would all workers' sockets
    return [listener, *(listener.dup() for _ in range(ACCEPTED_AT_ONCE - 1))]


def fitting(limits: ConnectionLimits) -> ConnectionLimits:
    """Return limits with as many connections as there may be open files, whose limit is raised if need be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = BURST * limits.most + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return limits
    most = max(1, (soft - OTHER_FILES) // BURST)
    remedy = f"raise the limit of open files to {needed}, or set MAX_CONNECTIONS"
    log.warning("fewer connections", extra={"fields": {"connections": most, "remedy": remedy}})
    return replace(limits, most=most)


def server_config(app: ASGIApp, settings: ServerSettings) -> uvicorn.Config:
    """Return uvicorn's configuration; client addresses are never used, so proxy headers are off."""
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        http=GuardedConnection,
        ws="none",
        backlog=BACKLOG,
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=max(1, round(settings.drain_seconds / 2)),
    )


class DrainingServer(uvicorn.Server):
    """A server that drains before it stops, and does not outlive its supervisor."""

    def __init__(
        self,
        config: uvicorn.Config,
        app: FastAPI,
        notice_seconds: float,
        on_start: Callable[[], None],
        *,
        supervised: bool,
    ) -> None:
        super().__init__(config)
        self._on_start = on_start
        self._documented = "/docs" in app.state.paths
        self._state = app.state
        self._lifecycle = app.state.lifecycle
        self._notice_seconds = notice_seconds
        self._stop_at = math.inf
        self._supervised = supervised
        self._parent = multiprocessing.parent_process()

    def limit_connections(self, limits: ConnectionLimits) -> None:
        """Bound what connections hold, and the time that they may wait for their clients."""
        state = self._state
        self._connections = Connections(limits, state.lifecycle.turns, state.connections, state.refusals)
        self.server_state.connections = self._connections  # type: ignore[assignment]  # used as a set

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_start()
        listeners = (sockets or [])[::ACCEPTED_AT_ONCE]
        fields = {**addresses(listeners, documented=self._documented), "pid": os.getpid()}
        log.info("listening", extra={"fields": fields})

    async def on_tick(self, counter: int) -> bool:
        orphaned = self._parent is not None and not self._parent.is_alive()
        if orphaned or monotonic() >= self._stop_at:
            self.should_exit = True
        if counter % TICKS_A_SECOND == 0:
            self._connections.look()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, close what is idle, and finish what is in flight."""
        begun = monotonic()
        if not self._supervised:  # else the others would be refused too: the supervisor does it for all
            refuse_handshakes(sockets or [])
            await asyncio.sleep(HANDSHAKE_SECONDS)
        await accept_waiting(sockets or [])
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        await close_idle(self._connections, self._notice_seconds)
        most = self.config.timeout_graceful_shutdown or 1
        left = self.config.timeout_graceful_shutdown = max(1, round(most - (monotonic() - begun)))
        asyncio.get_running_loop().call_later(left - BEFORE_CANCELLING, self._connections.cut_waiting)
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        patient = sig == signal.SIGTERM and (self._supervised or not self._lifecycle.draining)
        self._lifecycle.draining = True
        self._stop_at = min(self._stop_at, monotonic() + (self._notice_seconds if patient else 0))
