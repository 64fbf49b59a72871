"""Posts again and again over a few connections: `python -m bench.client PORT SECONDS CONNECTIONS < BODY`.

Ends with p99 of the seconds that answers took, as it saw them. wrk adds the requests that it would have sent
while an answer was late, so that one pause of the machine becomes the p99 of a whole second.
"""

import asyncio
import sys
from time import perf_counter

import numpy as np
import uvloop

from bench.load import request_bytes

END_OF_HEAD = b"\r\n\r\n"


class Connection(asyncio.Protocol):
    """Sends a request when the one before is answered, until it is time."""

    def __init__(self, request: bytes, end: float) -> None:
        self._request, self._end = request, end
        self._received = b""
        self._sent_at = 0.0
        self.seconds: list[float] = []
        self.closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.WriteTransport) -> None:  # type: ignore[override]
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, body = self._received.partition(END_OF_HEAD)
        if not separator or len(body) < length(head):
            return
        now = perf_counter()
        self.seconds.append(now - self._sent_at)
        self._received = b""
        if not head.startswith(b"HTTP/1.1 200 "):
            self._fail(head.decode().splitlines()[0])
        elif now < self._end:
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, _: Exception | None) -> None:
        if perf_counter() < self._end:
            self._fail("the server closed a connection")
        elif not self.closed.done():
            self.closed.set_result(None)

    def _fail(self, reason: str) -> None:
        if not self.closed.done():
            self.closed.set_exception(ConnectionError(reason))

    def _send(self) -> None:
        self._sent_at = perf_counter()
        self._transport.write(self._request)


def length(head: bytes) -> int:
    """Return the length of the body that follows a head."""
    return int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])


async def p99(port: int, seconds: float, connections: int, body: bytes) -> float:
    end = perf_counter() + seconds
    loop = asyncio.get_running_loop()
    opened = [Connection(request_bytes(body), end) for _ in range(connections)]
    for connection in opened:
        await loop.create_connection(lambda connection=connection: connection, "127.0.0.1", port)  # type: ignore[misc]
    await asyncio.gather(*(connection.closed for connection in opened))
    return float(np.percentile([seconds for connection in opened for seconds in connection.seconds], 99))


if __name__ == "__main__":
    port, seconds, connections = sys.argv[1:]
    print(uvloop.run(p99(int(port), float(seconds), int(connections), sys.stdin.buffer.read())))
