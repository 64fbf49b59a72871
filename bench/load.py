"""Servers under measurement, and the load that is put on them. Loopback only, bounded by count."""

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import psutil

PROJECT = Path(__file__).resolve().parent.parent
START_SECONDS = 30


class BenchError(Exception):
    """A measurement that would mean nothing."""


def request_bytes() -> bytes:
    """Return POST /predict with the model's example row."""
    declaration = tomllib.loads((PROJECT / "models/heart-disease/model.toml").read_text(encoding="utf-8"))
    body = json.dumps(declaration["example"]).encode()
    head = [
        "POST /predict HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


class MeasuredServer:
    """A server process, from its start to its stop."""

    def __init__(self, command: Sequence[str], **environment: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = int(listener.getsockname()[1])
        begin = time.perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, *(part.format(port=self.port) for part in command)],
            cwd=PROJECT,
            env=os.environ | {"PORT": str(self.port)} | environment,
            stdout=subprocess.DEVNULL,
        )
        self._wait_until_answering()
        self.seconds_to_ready = time.perf_counter() - begin
        self._statistics = psutil.Process(self._process.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(START_SECONDS)

    def cpu_seconds(self) -> float:
        times = self._statistics.cpu_times()
        return float(times.user + times.system)

    def resident_mib(self) -> float:
        return float(self._statistics.memory_info().rss) / 2**20

    def cpu_per_request(self, requests: int, connections: int = 16) -> float:
        """Return CPU seconds of the server for one request of `requests` over keep-alive connections."""
        before = self.cpu_seconds()
        asyncio.run(_load(self.port, requests // connections, connections))
        return (self.cpu_seconds() - before) / requests

    def latencies(self, requests: int) -> list[float]:
        """Return the sorted seconds of requests one after another over one connection."""
        request, seconds = request_bytes(), []
        with socket.create_connection(("127.0.0.1", self.port)) as connection:
            for _ in range(requests):
                begin = time.perf_counter()
                connection.sendall(request)
                answer = connection.recv(65536)
                while len(answer.partition(b"\r\n\r\n")[2]) < _body_length(answer):
                    answer += connection.recv(65536)
                seconds.append(time.perf_counter() - begin)
        return sorted(seconds)

    def _wait_until_answering(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                    connection.sendall(request_bytes())
                    if connection.recv(65536):
                        return
            except ConnectionRefusedError:
                time.sleep(0.005)
        raise BenchError(f"no answer from the server within {START_SECONDS} s")


async def _load(port: int, requests: int, connections: int) -> None:
    async def client() -> None:
        request = request_bytes()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(requests):
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(_body_length(head))
        writer.close()
        await writer.wait_closed()

    await asyncio.gather(*(client() for _ in range(connections)))


def _body_length(head: bytes) -> int:
    length = re.search(rb"content-length: (\d+)", head)
    if not head.startswith(b"HTTP/1.1 200 ") or not length:
        raise BenchError(f"not a whole 200: {head[:80]!r}")
    return int(length.group(1))
