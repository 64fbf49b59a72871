"""Serves an application from one process: its sockets, its signals, and the drain at its end.

On SIGTERM a process first reports itself unready while it goes on answering, so that its load balancer
can turn away; after half of DRAIN_SECONDS it stops accepting, finishes what it has begun, and exits 0.
SIGINT (Ctrl-C), or a second SIGTERM, skips the waiting.
"""

import logging
import math
import multiprocessing
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address
from time import monotonic
from types import FrameType

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp

from serving.logs import configure_logs
from serving.settings import ServerSettings
from serving.transport.connections import SEND_BUFFER, Connections
from serving.transport.pipelining import BoundedPipeline
from serving.transport.ports import addresses, by_port

log = logging.getLogger("serving")

BACKLOG = 2048
TICKS_A_SECOND = 10


class ServerError(Exception):
    """The server cannot start: one sentence that says what to do."""


def quiet_logs(settings: ServerSettings) -> None:
    """Log as the settings say; what uvicorn has to say of its start we say ourselves."""
    configure_logs(settings.log_level, settings.log_format)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)


@contextmanager
def listen(settings: ServerSettings) -> Iterator[list[socket.socket]]:
    """Open the API's socket and, where METRICS_PORT is set, that of scrapes as the second."""
    with ExitStack() as stack:
        listeners = [stack.enter_context(bound(settings.host, settings.port, "HOST and PORT"))]
        if settings.metrics_port is not None:
            listeners.append(stack.enter_context(bound(settings.host, settings.metrics_port, "METRICS_PORT")))
        yield listeners


def bound(host: str, port: int, names: str) -> socket.socket:
    """Return a socket that listens; ServerError names the settings where that fails."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, UnicodeError) as error:
        said = str(getattr(error, "strerror", None) or "no name of a host").partition(" (while")[0]
        raise ServerError(f"cannot listen on {shown_host(host)} port {port} ({said}): set {names}") from None
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)  # its connections inherit that
    return listener


def shown_host(host: str) -> str:
    """Return an IP address as it is: any other text that does not work may be a secret in the wrong place."""
    try:
        return str(ip_address(host))
    except ValueError:
        return "HOST"


def serve(
    app: FastAPI,
    settings: ServerSettings,
    listeners: list[socket.socket],
    on_start: Callable[[], None] = lambda: None,
) -> int:
    """Serve from this process until a signal; `on_start` is told when it answers."""
    config = server_config(by_port(app, listeners), settings)
    server = DrainingServer(config, app, settings.drain_seconds / 2, on_start)
    server.bound(settings.max_connections, settings.write_timeout_seconds)
    server.run(listeners)
    return 0


def server_config(app: ASGIApp, settings: ServerSettings) -> uvicorn.Config:
    """Return how uvicorn serves; nobody asks for a client's address, so no header has to tell it."""
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        http=BoundedPipeline,
        ws="none",
        backlog=BACKLOG,
        timeout_graceful_shutdown=max(1, round(settings.drain_seconds / 2)),
    )


class DrainingServer(uvicorn.Server):
    """A server that reports itself unready before it stops accepting, and does not outlive its supervisor."""

    def __init__(
        self, config: uvicorn.Config, app: FastAPI, notice_seconds: float, on_start: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._on_start = on_start
        self._documented = "/docs" in app.state.paths
        self._lifecycle = app.state.lifecycle
        self._notice_seconds = notice_seconds
        self._stop_at = math.inf
        self._supervisor = multiprocessing.parent_process()

    def bound(self, most: int, write_seconds: float) -> None:
        """Hold at most so many connections, and clients to taking their answers within a time."""
        self._connections = Connections(most, write_seconds, self._lifecycle)
        self.server_state.connections = self._connections  # type: ignore[assignment]  # used as a set

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_start()
        fields = {**addresses(sockets or [], documented=self._documented), "pid": os.getpid()}
        log.info("listening", extra={"fields": fields})

    async def on_tick(self, counter: int) -> bool:
        orphaned = self._supervisor is not None and not self._supervisor.is_alive()
        if orphaned or monotonic() >= self._stop_at:
            self.should_exit = True
        if counter % TICKS_A_SECOND == 0:
            self._connections.look()
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        patient = sig == signal.SIGTERM and not self._lifecycle.draining
        self._lifecycle.draining = True
        self._stop_at = monotonic() + (self._notice_seconds if patient else 0)
