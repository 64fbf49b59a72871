"""Measures what gzip takes and saves for each kind of response: `python -m bench.compression`.

It prints bytes before, then bytes and microseconds by level, for docs/decisions/38-compression.md.
"""

import json
import sys
import zlib
from collections.abc import Iterator
from time import perf_counter

from bench.load import BenchError, MeasuredServer
from bench.ours import OURS, rows_of_batch

LEVELS = (1, 3, 6)
TRIES = 9
WIDTH = 27
PAGES = (
    "/health",
    "/metrics",
    "/openapi.json",
    "/models",
    "/console/predict",
    "/console/live",
    "/runbooks",
    "/docs/swagger-ui-bundle.js",
)
BATCHES = (1, 3, 5, 10, 100, 1000)


def responses(server: MeasuredServer) -> Iterator[tuple[str, bytes]]:
    for path in PAGES:
        yield path, server.ask(path)
    yield "one row", server.post()
    for rows in BATCHES:
        yield f"batch of {rows}", server.ask("/predict/batch", json.dumps(rows_of_batch(rows)).encode())


def cost(content: bytes, level: int) -> tuple[int, float]:
    """Return bytes after compression, and the seconds that it takes at best."""
    seconds = []
    for _ in range(TRIES):
        begin = perf_counter()
        found = zlib.compress(content, level, 16 + zlib.MAX_WBITS)
        seconds.append(perf_counter() - begin)
    return len(found), min(seconds)


def main() -> None:
    print(f"zlib {zlib.ZLIB_RUNTIME_VERSION}; bytes, then bytes and microseconds at levels {LEVELS}")
    with MeasuredServer(OURS) as server:
        for name, content in responses(server):
            costs = (cost(content, level) for level in LEVELS)
            shown = " ".join(f"{size:8,} {seconds * 1e6:7,.0f}" for size, seconds in costs)
            print(f"{name:{WIDTH}} {len(content):9,} {shown}")


if __name__ == "__main__":
    try:
        main()
    except BenchError as error:
        sys.exit(f"error: {error}")
