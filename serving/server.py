"""Runs the application: signals and draining in one process, or a supervisor with several workers.

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
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from multiprocessing.synchronize import Event
from pathlib import Path
from time import monotonic
from types import FrameType

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp

from bundle.errors import BundleError
from registry.fetch import fetched
from serving.logs import configure_logs
from serving.settings import Settings, SettingsError, load_settings
from serving.transport.connections import SEND_BUFFER, Connections
from serving.transport.pipelining import BoundedPipeline
from serving.transport.ports import addresses, by_port

log = logging.getLogger("serving")

BACKLOG = 2048
TICKS_A_SECOND = 10
FAILED_TO_START = 3
LISTENS_ONCE = (
    "error: METRICS_PORT needs python api_server.py: uvicorn api_server:app listens on one port alone, "
    "which would have no /metrics"
)
SPAWN = multiprocessing.get_context("spawn")


class ServerError(Exception):
    """The server cannot start: one sentence that says what to do."""


def bare_app() -> FastAPI:
    """Return the application for `uvicorn api_server:app`; exits with a sentence where it cannot be made."""
    try:
        settings = load_settings()
        if settings.metrics_port is not None:
            raise SystemExit(LISTENS_ONCE)
        configure_logs(settings.log_level, settings.log_format)
        warn_of_random_salt(settings)
        with registered_model(settings) as settings:
            return make_app(settings)
    except (SettingsError, BundleError) as error:
        raise SystemExit(f"error: {error}") from None


def run() -> int:
    """Serve until a signal, and return the exit code; ServerError where that cannot start."""
    try:
        settings = load_settings()
        quiet_logs(settings)
        warn_of_random_salt(settings)
        os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)  # the supervisor makes its own, empty
        with listen(settings) as listeners, registered_model(settings) as settings:
            if settings.workers > 1:
                return Supervisor(settings, listeners).run()
            return serve(make_app(settings), settings, listeners)
    except (SettingsError, BundleError) as error:
        raise ServerError(str(error)) from None


def quiet_logs(settings: Settings) -> None:
    """Log as the settings say; what uvicorn has to say of its start we say ourselves."""
    configure_logs(settings.log_level, settings.log_format)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)


def warn_of_random_salt(settings: Settings) -> None:
    """Say what a canary without a salt of the installation means."""
    if settings.canary_percent and settings.canary_salt_file is None:
        log.warning(
            "the canary has a salt of its own: keys change their version at each start, and between replicas",
            extra={"fields": {"remedy": "set CANARY_SALT_FILE"}},
        )


@contextmanager
def registered_model(settings: Settings) -> Iterator[Settings]:
    """Give settings under which every model is a folder, a registered version included: it is fetched."""
    reference = settings.registered
    if reference is None:
        yield settings
        return
    with fetched(reference, settings.mlflow_tracking_uri or "") as (folder, version):
        yield settings.for_registered(folder, reference.name, version)


def make_app(settings: Settings) -> FastAPI:
    # imported here, because prometheus_client decides at import whether workers share their counts
    from prometheus_client import CollectorRegistry  # noqa: PLC0415

    from serving.app import create_app  # noqa: PLC0415

    return create_app(settings, CollectorRegistry())


@contextmanager
def listen(settings: Settings) -> Iterator[list[socket.socket]]:
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
    settings: Settings,
    listeners: list[socket.socket],
    on_start: Callable[[], None] = lambda: None,
) -> int:
    """Serve from this process until a signal; `on_start` is told when it answers."""
    config = server_config(by_port(app, listeners), settings)
    server = DrainingServer(config, app, settings.drain_seconds / 2, on_start)
    server.bound(settings.max_connections, settings.write_timeout_seconds)
    server.run(listeners)
    return 0


def server_config(app: ASGIApp, settings: Settings) -> uvicorn.Config:
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


class Supervisor:
    """Keeps several workers on the same sockets, and owns the folder where they share their counts."""

    def __init__(self, settings: Settings, listeners: list[socket.socket]) -> None:
        self._settings = settings
        self._listeners = listeners
        self._workers: list[SpawnProcess] = []
        self._signal: int | None = None
        self._served = SPAWN.Event()

    def run(self) -> int:
        """Serve until a signal and return 0; or 1 where no worker ever served and one could not start."""
        for sig in (signal.SIGINT, signal.SIGTERM):
            signal.signal(sig, self._stop)
        with shared_folder() as folder:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
            self._workers = [self._start() for _ in range(self._settings.workers)]
            failed = False
            while self._signal is None and not failed:
                wait([worker.sentinel for worker in self._workers], timeout=0.2)
                failed = not self._served.is_set() and self._any_failed_to_start()
                if self._signal is None and not failed:
                    self._workers = [self._revived(worker) for worker in self._workers]
            self._end(self._signal or signal.SIGTERM)
        return int(failed)

    def _stop(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self._signal = sig

    def _start(self) -> SpawnProcess:
        worker = SPAWN.Process(
            target=run_worker, args=(self._settings, self._listeners, self._served), name="worker"
        )
        worker.start()
        return worker

    def _any_failed_to_start(self) -> bool:
        return any(worker.exitcode == FAILED_TO_START for worker in self._workers)

    def _revived(self, worker: SpawnProcess) -> SpawnProcess:
        if worker.is_alive():
            return worker
        log.error(
            "worker died, another takes its place",
            extra={"fields": {"pid": worker.pid, "exit": worker.exitcode}},
        )
        mark_process_dead(worker.pid or 0, os.environ["PROMETHEUS_MULTIPROC_DIR"])
        return self._start()

    def _end(self, sig: int) -> None:
        for worker in self._workers:
            if worker.is_alive() and worker.pid:
                os.kill(worker.pid, sig)
        deadline = monotonic() + self._settings.drain_seconds + 2
        for worker in self._workers:
            worker.join(max(0.1, deadline - monotonic()))
            worker.kill()
            worker.join()


def shared_folder() -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(prefix="workers-")
    except OSError as error:
        raise ServerError(
            f"WORKERS above 1 needs a folder to write to ({error.strerror}): set TMPDIR to one"
        ) from None


def mark_process_dead(pid: int, folder: str) -> None:
    """Take a dead worker's gauges out of the sums; its counts stay."""
    from prometheus_client import multiprocess  # noqa: PLC0415

    from serving.metrics.counts import forget  # noqa: PLC0415

    multiprocess.mark_process_dead(pid, folder)
    forget(Path(folder), pid)


def run_worker(settings: Settings, listeners: list[socket.socket], served: Event) -> None:
    """Serve as one of several processes."""
    quiet_logs(settings)
    try:
        serve(make_app(settings), settings, listeners, served.set)
    except (SettingsError, BundleError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(FAILED_TO_START)
