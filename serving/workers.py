"""Several worker processes on the same sockets; their supervisor owns the folder where they share counts."""

import logging
import math
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Iterable
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from multiprocessing.synchronize import Event
from pathlib import Path
from time import monotonic
from types import FrameType

from fastapi import FastAPI

from bundle.errors import BundleError
from serving.server import ServerError, quiet_logs, serve
from serving.settings import Settings, SettingsError
from serving.transport.draining import HANDSHAKE_SECONDS, refuse_handshakes

log = logging.getLogger("serving")

FAILED_TO_START = 3
SPAWN = multiprocessing.get_context("spawn")
LIBRARYS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Environment variable by which prometheus_client knows, at import, that workers share their counts."""


def make_app(settings: Settings, workers_folder: Path | None = None) -> FastAPI:
    # imported here, because prometheus_client decides at import whether workers share their counts
    from prometheus_client import CollectorRegistry  # noqa: PLC0415

    from serving.app import create_app  # noqa: PLC0415

    return create_app(settings, CollectorRegistry(), workers_folder)


class Supervisor:
    """Keeps several workers on the same sockets, and owns the folder where they share counts."""

    def __init__(self, settings: Settings, listeners: list[socket.socket]) -> None:
        self._settings = settings
        self._listeners = listeners
        self._workers: list[SpawnProcess] = []
        self._signal: int | None = None
        self._refuse_at = math.inf
        self._woken, self._waker = SPAWN.Pipe(duplex=False)
        self._served = SPAWN.Event()

    def run(self) -> int:
        """Serve until a signal and return 0; return 1 if a worker fails to start before any has served."""
        for sig in (signal.SIGINT, signal.SIGTERM):
            signal.signal(sig, self._stop)
        with shared_folder() as folder:
            os.environ[LIBRARYS_FOLDER] = folder
            self._folder = Path(folder)
            self._workers = [self._start() for _ in range(self._settings.workers)]
            failed = False
            while self._signal is None and not failed:
                self._wait(self._workers, 0.2)
                failed = not self._served.is_set() and self._any_failed_to_start()
                if self._signal is None and not failed:
                    self._workers = [self._revived(worker) for worker in self._workers]
            if self._signal is None:
                self._stop(signal.SIGTERM, None)
            self._end()
        return int(failed)

    def _stop(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Note when nobody may connect any more: after the notice, or at once where a signal says so."""
        patient = sig == signal.SIGTERM and self._signal is None
        notice = self._settings.drain_seconds / 2 - HANDSHAKE_SECONDS if patient else 0
        self._refuse_at = min(self._refuse_at, monotonic() + notice)
        self._signal = signal.SIGTERM if patient else signal.SIGINT
        self._waker.send_bytes(b"\0")

    def _start(self) -> SpawnProcess:
        worker = SPAWN.Process(
            target=run_worker,
            args=(self._settings, self._listeners, self._served, self._folder),
            name="worker",
        )
        worker.start()
        return worker

    def _any_failed_to_start(self) -> bool:
        return any(worker.exitcode == FAILED_TO_START for worker in self._workers)

    def _revived(self, worker: SpawnProcess) -> SpawnProcess:
        if worker.is_alive():
            return worker
        log.error(
            "worker died; a new one starts",
            extra={"fields": {"pid": worker.pid, "exit": worker.exitcode}},
        )
        mark_process_dead(worker.pid or 0, self._folder)
        return self._start()

    def _end(self) -> None:
        """Stop the workers: none closes a socket before nobody can begin to connect to it."""
        deadline = monotonic() + self._settings.drain_seconds + 2
        if self._signal == signal.SIGTERM:
            self._tell(signal.SIGTERM)
        while (left := self._refuse_at - monotonic()) > 0 and (alive := self._alive()):
            self._wait(alive, left)
        refuse_handshakes(self._listeners)
        if self._signal == signal.SIGINT:
            self._tell(signal.SIGINT)
        for listener in self._listeners:  # else connections queue that no worker accepts
            listener.close()
        while (left := deadline - monotonic()) > 0 and (alive := self._alive()):
            self._wait(alive, left)
        for worker in self._workers:
            worker.kill()
            worker.join()

    def _alive(self) -> list[SpawnProcess]:
        return [worker for worker in self._workers if worker.is_alive()]

    def _tell(self, sig: int) -> None:
        for worker in self._alive():
            if worker.pid:
                os.kill(worker.pid, sig)

    def _wait(self, workers: Iterable[SpawnProcess], seconds: float) -> None:
        """Wait until a worker ends or a signal comes, at most for so long."""
        if self._woken in wait([self._woken, *(worker.sentinel for worker in workers)], seconds):
            self._woken.recv_bytes()


def shared_folder() -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(prefix="workers-")
    except OSError as error:
        raise ServerError(
            f"WORKERS above 1 needs a folder to write to ({error.strerror}): set TMPDIR to one"
        ) from None


def mark_process_dead(pid: int, folder: Path) -> None:
    """Remove a dead worker's gauges from the sums; its counts stay."""
    from prometheus_client import multiprocess  # noqa: PLC0415

    from serving.metrics.counts import forget  # noqa: PLC0415

    multiprocess.mark_process_dead(pid, str(folder))
    forget(folder, pid)


def run_worker(settings: Settings, listeners: list[socket.socket], served: Event, folder: Path) -> None:
    """Serve as one of several workers."""
    os.setpgrp()  # Ctrl-C in a terminal is for the supervisor, which tells the workers
    quiet_logs(settings)
    try:
        serve(make_app(settings, folder), settings, listeners, served.set, supervised=True)
    except (SettingsError, BundleError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(FAILED_TO_START)
