"""Clients that take what they do not need, chosen by chance: each breaks a rule of HTTP, time or size."""

import contextlib
import json
import random
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Self

from tests.harness import SAMPLE

ROW = json.dumps(SAMPLE).encode()
BATCH = json.dumps({"instances": [SAMPLE] * 900}).encode()
HEAD = b"POST /predict/batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
WHOLE = HEAD + b"Content-Length: %d\r\n\r\n" % len(BATCH) + BATCH
LIVE = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
LINE = b"X-Header: " + b"a" * 4000 + b"\r\n"

Parts = Iterator[bytes | float]
"""What a client sends, and the seconds that it waits in between."""


def drips(sent: bytes, seconds: float) -> Parts:
    for byte in sent:
        yield bytes([byte])
        yield seconds


def half_a_head(_: random.Random) -> Parts:
    yield LIVE[:-2]
    yield 12.0


def a_dripping_head(chance: random.Random) -> Parts:
    yield from drips(LIVE[:-2] + b"X-Header: a\r\n" * 3, chance.uniform(0.02, 0.5))


def a_huge_head(_: random.Random) -> Parts:
    yield LIVE[:-2]
    yield from [LINE] * 500


def silence(_: random.Random) -> Parts:
    yield 12.0


def half_a_body(chance: random.Random) -> Parts:
    yield WHOLE[: chance.randrange(len(HEAD) + 60, len(WHOLE))]
    yield 12.0


def a_dripping_body(chance: random.Random) -> Parts:
    yield WHOLE[:-40]
    yield from drips(WHOLE[-40:], chance.uniform(0.02, 0.5))


def endless_chunks(chance: random.Random) -> Parts:
    yield HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
    for _ in range(chance.randrange(1, 300)):
        yield b"2000\r\n" + b" " * 0x2000 + b"\r\n"
    yield chance.uniform(0, 3)


def huge_trailers(_: random.Random) -> Parts:
    yield HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
    yield from [LINE] * 500


def nonsense(chance: random.Random) -> Parts:
    yield LIVE + chance.randbytes(chance.randrange(1, 4000))


def many_pipelined(chance: random.Random) -> Parts:
    yield LIVE * chance.randrange(10, 3000)
    yield chance.uniform(0, 2)


def unread_batches(chance: random.Random) -> Parts:
    yield WHOLE * 3
    yield chance.uniform(0, 15)


def a_body_after_its_answer(_: random.Random) -> Parts:
    yield HEAD + b"Content-Length: 999999999\r\n\r\n"
    yield from [b" " * 65536] * 100


def an_abrupt_end(chance: random.Random) -> Parts:
    yield WHOLE[: chance.randrange(len(WHOLE))]


KINDS: list[Callable[[random.Random], Parts]] = [
    half_a_head,
    a_dripping_head,
    a_huge_head,
    silence,
    half_a_body,
    a_dripping_body,
    endless_chunks,
    huge_trailers,
    nonsense,
    many_pipelined,
    unread_batches,
    a_body_after_its_answer,
    an_abrupt_end,
]


class GreedyClients:
    """So many clients at a time, each of a kind that a seed chooses, until they are stopped."""

    def __init__(self, port: int, number: int, seed: int) -> None:
        self._port = port
        self._stop = threading.Event()
        self.begun = 0
        self._threads = [
            threading.Thread(target=self._run, args=(random.Random(seed * 1000 + place),))
            for place in range(number)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _run(self, chance: random.Random) -> None:
        while not self._stop.is_set():
            self.begun += 1
            with contextlib.suppress(OSError):
                self._one(chance.choice(KINDS)(chance), abrupt=chance.random() < 0.5)

    def _one(self, parts: Parts, *, abrupt: bool) -> None:
        with socket.create_connection(("127.0.0.1", self._port), timeout=15) as client:
            for part in parts:
                if isinstance(part, bytes):
                    client.sendall(part)
                elif self._stop.wait(part):
                    break
            if abrupt:  # a reset, where there would be an end
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Watch:
    """Seconds that rows took for a client that keeps the rules, each on its own connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.seconds: list[float] = []
        self.failures: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)

    def _run(self) -> None:
        request = (
            b"POST /predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
        )
        request += b"Content-Length: %d\r\n\r\n" % len(ROW) + ROW
        while not self._stop.wait(0.01):
            begun = time.perf_counter()
            try:
                with socket.create_connection(("127.0.0.1", self._port), timeout=30) as client:
                    client.sendall(request)
                    status = client.recv(65536)[:12].decode()
            except OSError as error:
                status = repr(error)
            self.seconds.append(time.perf_counter() - begun)
            if status != "HTTP/1.1 200":
                self.failures.append(status)

    def p99(self) -> float:
        return sorted(self.seconds)[int(0.99 * (len(self.seconds) - 1))]
