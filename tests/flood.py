"""Batches without pause over many connections: `python -m tests.flood HOST PORT CONNECTIONS SECONDS`.

Prints how many answers of each status came, as JSON. One that is shed is sent again at once: the worst that a
client can do.
"""

import asyncio
import contextlib
import json
import sys
from collections import Counter

import uvloop

from tests.harness import SAMPLE

BATCH = json.dumps({"instances": [SAMPLE] * 1000}).encode()
REQUEST = (
    b"POST /predict/batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n" % len(BATCH)
) + BATCH


async def send(host: str, port: int, statuses: Counter[str]) -> None:
    """Send batches over one connection after the other."""
    while True:
        try:
            reader, writer = await asyncio.open_connection(host, port)
            with contextlib.closing(writer):
                while True:
                    writer.write(REQUEST)
                    head = await reader.readuntil(b"\r\n\r\n")
                    length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
                    await reader.readexactly(int(length))
                    statuses[head[9:12].decode()] += 1
        except (OSError, asyncio.IncompleteReadError):
            statuses["closed"] += 1
            await asyncio.sleep(0.1)


async def flood(host: str, port: int, connections: int, seconds: float) -> Counter[str]:
    statuses: Counter[str] = Counter()
    clients = [asyncio.create_task(send(host, port, statuses)) for _ in range(connections)]
    await asyncio.wait(clients, timeout=seconds)
    for client in clients:
        client.cancel()
    return statuses


if __name__ == "__main__":
    host, *numbers = sys.argv[1:]
    port, connections, seconds = map(int, numbers)
    print(json.dumps(uvloop.run(flood(host, port, connections, seconds))))
