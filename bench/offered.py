"""Offers requests at a rate, whatever comes of it: `python -m bench.offered PORT PATH RATE SECONDS < BODY`.

Requests come as by chance (a Poisson process), each over an idle connection of at most CONNECTIONS; one for
which there is none is not sent and counts as offered. Prints what was seen as JSON. A closed loop waits for a
slow server, and so never offers more than it takes.
"""

import asyncio
import json
import random
import sys
from collections import Counter
from time import perf_counter

import numpy as np
import uvloop

from bench.client import END_OF_HEAD, length
from bench.load import request_bytes

CONNECTIONS = 256
WARM_SECONDS = 2
"""Not counted: until then a queue is a burst."""


class Pool:
    """Idle connections, and what came back over all of them."""

    def __init__(self, port: int, request: bytes) -> None:
        self._port = port
        self.request = request
        self.idle: list[Connection] = []
        self.open = 0
        self.counting_from = 0.0
        self.offered = 0
        self.statuses: Counter[str] = Counter()
        self.seconds: list[float] = []

    def offer(self, due: float) -> None:
        if due >= self.counting_from:
            self.offered += 1
        if self.idle:
            self.idle.pop().send(due)
        elif self.open < CONNECTIONS:
            self.open += 1
            loop = asyncio.get_running_loop()
            loop.create_task(loop.create_connection(lambda: Connection(self, due), "127.0.0.1", self._port))  # noqa: RUF006
        else:
            self.note(due, "no connection")

    def note(self, due: float, status: str) -> None:
        if due < self.counting_from:
            return
        self.statuses[status] += 1
        if status == "200":
            self.seconds.append(perf_counter() - due)


class Connection(asyncio.Protocol):
    """Sends one request at a time."""

    def __init__(self, pool: Pool, due: float) -> None:
        self._pool, self._due = pool, due
        self._received = b""
        self._waits = False

    def connection_made(self, transport: asyncio.WriteTransport) -> None:  # type: ignore[override]
        self._transport = transport
        self.send(self._due)

    def send(self, due: float) -> None:
        self._due, self._waits = due, True
        self._transport.write(self._pool.request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(END_OF_HEAD)
        if not separator or len(body) < length(head):
            return
        self._received, self._waits = b"", False
        self._pool.note(self._due, head[9:12].decode())
        self._pool.idle.append(self)

    def connection_lost(self, _: Exception | None) -> None:
        self._pool.open -= 1
        if self._waits:
            self._pool.note(self._due, "closed")
        elif self in self._pool.idle:
            self._pool.idle.remove(self)


async def offer(port: int, path: str, rate: float, seconds: float, body: bytes) -> dict[str, object]:
    """Offer `rate` requests a second, and return what was seen after the first WARM_SECONDS."""
    pool = Pool(port, request_bytes(body, path))
    chance = random.Random(1)  # the same arrivals each time
    begun = due = perf_counter()
    pool.counting_from = begun + WARM_SECONDS
    while due < begun + WARM_SECONDS + seconds:
        while due <= perf_counter():
            pool.offer(due)
            due += chance.expovariate(rate)
        await asyncio.sleep(max(0.0, min(due - perf_counter(), 0.001)))
    late = perf_counter() - due
    for _ in range(50):
        if pool.statuses.total() >= pool.offered:
            break
        await asyncio.sleep(0.1)
    return {
        "offered": pool.offered / seconds,
        "answered": pool.statuses["200"] / seconds,
        "statuses": dict(pool.statuses),
        "p50": float(np.quantile(pool.seconds, 0.5)) if pool.seconds else None,
        "p99": float(np.quantile(pool.seconds, 0.99)) if pool.seconds else None,
        "late": late,
    }


if __name__ == "__main__":
    port, path, rate, seconds = sys.argv[1:]
    print(
        json.dumps(uvloop.run(offer(int(port), path, float(rate), float(seconds), sys.stdin.buffer.read())))
    )
