"""The servers of one release, what Prometheus discovers of them, and clients that note each answer."""

import json
import signal
import socket
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle
from pathlib import Path
from time import time
from typing import NamedTuple

import psutil
import requests

from bench.prometheus import Labels, Prometheus
from tests.harness import Server
from tests.systems import System


class Answer(NamedTuple):
    """A response as its client saw it."""

    path: str
    status: int
    at: float
    seconds: float
    """From sending the request to the response's head."""


@dataclass
class Stage:
    """The servers of one release, and clients that go on until the end."""

    servers: list[Server]
    system: System
    folder: Path
    end: threading.Event = field(default_factory=threading.Event)
    answers: list[Answer] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)
    gates: list[ThreadingHTTPServer] = field(default_factory=list)
    prometheus: Prometheus = field(init=False)

    @property
    def targets(self) -> Path:
        """The file in which Prometheus finds the servers."""
        return self.folder / "targets.json"

    @property
    def statuses(self) -> Counter[tuple[str, int]]:
        return Counter((answer.path, answer.status) for answer in self.answers)

    def visit(
        self, path: str = "/predict", rows: int = 0, pause: float = 0.1, servers: Sequence[Server] = ()
    ) -> None:
        """Start a client that asks the servers in turn."""
        row = self.system.sample
        body = json.dumps({"instances": [row] * rows} if rows else row).encode()
        self.start(partial(self._visit, path, body, pause, servers or self.servers))

    def start(self, work: Callable[[], object]) -> None:
        """Start a thread, which works until the end."""
        self.threads.append(threading.Thread(target=work))
        self.threads[-1].start()

    def crowd(self, most: int, pause: float = 0.1) -> None:
        """Start clients that keep connections to the first server after a request, so many at a time."""
        address = ("127.0.0.1", self.servers[0].port)

        def connect() -> None:
            with ExitStack() as held:
                kept: deque[socket.socket] = deque(maxlen=most)
                while not self.end.wait(pause):
                    with suppress(OSError):
                        client = held.enter_context(socket.create_connection(address, timeout=5))
                        client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
                        if len(kept) == most:
                            kept[0].close()
                        kept.append(client)

        self.start(connect)

    def finish(self) -> None:
        """Wait until all clients have their last answer."""
        self.end.set()
        for thread in self.threads:
            thread.join(90)

    def _visit(self, path: str, body: bytes, pause: float, servers: Sequence[Server]) -> None:
        turns: Iterator[Server] = cycle(servers)
        headers = {"Content-Type": "application/json"}
        with untrusting_session() as session:
            while not self.end.wait(pause):
                with suppress(requests.RequestException):
                    found = session.post(next(turns).url + path, data=body, headers=headers, timeout=60)
                    self.answers.append(
                        Answer(path, found.status_code, time(), found.elapsed.total_seconds())
                    )

    def kill_workers(self) -> None:
        """Kill a worker of the first server every ten seconds: others answer meanwhile."""

        def kill() -> None:
            while not self.end.wait(10):
                for child in psutil.Process(self.servers[0].process.pid).children():
                    if "spawn_main" in " ".join(child.cmdline()):
                        child.kill()
                        break

        self.start(kill)

    def restart_in_turn(self) -> None:
        """Replace the servers one after the other, as a rollout does."""
        for place, server in enumerate(self.servers):
            server.process.send_signal(signal.SIGTERM)
            assert server.wait() == 0
            settings = server.settings | {"PORT": str(server.port)}
            self.servers[place] = Server(settings).wait_until_ready()

    def scale_to_zero(self) -> None:
        """Stop all servers at once, as Kubernetes does: each drains and exits."""
        for server in self.servers:
            server.process.send_signal(signal.SIGTERM)
        for server in self.servers:
            assert server.wait() == 0

    def announce(self, labels: Labels, scrapes: Sequence[bool]) -> None:
        """Have Prometheus discover each server, behind a gate where only some of its scrapes are answered."""
        ports = [server.port for server in self.servers]
        if scrapes:
            self.gates = [gate(server.url, scrapes) for server in self.servers]
            ports = [opened.server_port for opened in self.gates]
        found = [
            {"targets": [f"127.0.0.1:{port}"], "labels": {"pod": f"pod-{place}"} | labels}
            for place, port in enumerate(ports)
        ]
        self.targets.write_text(json.dumps(found), encoding="utf-8")

    def vanish(self) -> None:
        """Have Prometheus discover no server any more."""
        self.targets.write_text("[]", encoding="utf-8")

    def stop(self) -> None:
        self.finish()
        for opened in self.gates:
            opened.shutdown()
            opened.server_close()
        for server in self.servers:
            server.stop()


def untrusting_session() -> requests.Session:
    """Return a session that does not read the environment: pytest changes it in another thread."""
    session = requests.Session()
    session.trust_env = False
    return session


def gate(url: str, scrapes: Sequence[bool]) -> ThreadingHTTPServer:
    """Pass on the scrapes that this cycle lets through; close the connection of others without an answer."""
    passes = cycle(scrapes)

    class Gate(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not next(passes):
                return
            with untrusting_session() as session:
                scrape = session.get(url + self.path, headers=dict(self.headers), timeout=5)
            self.send_response(scrape.status_code)
            self.send_header("Content-Type", scrape.headers["Content-Type"])
            self.end_headers()
            self.wfile.write(scrape.content)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    opened = ThreadingHTTPServer(("127.0.0.1", 0), Gate)
    threading.Thread(target=opened.serve_forever, daemon=True).start()
    return opened
