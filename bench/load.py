"""Servers under measurement, and wrk, which puts load on them. Loopback only, bounded in time."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.error import URLError
from urllib.request import Request, urlopen

import psutil

PROJECT = Path(__file__).resolve().parent.parent
START_SECONDS = 120
SCRIPT = PROJECT / "bench" / "post.lua"


class BenchError(Exception):
    """A measurement that cannot be made, or would mean nothing."""


def example() -> dict[str, Any]:
    """Return the heart model's declared example row."""
    declaration = tomllib.loads((PROJECT / "models/heart-disease/model.toml").read_text(encoding="utf-8"))
    row: dict[str, Any] = declaration["example"]
    return row


def request_bytes(body: bytes = b"", path: str = "/predict") -> bytes:
    """Return a POST with a body: the heart model's example row, if it is not another."""
    body = body or json.dumps(example()).encode()
    head = [
        f"POST {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


@dataclass(frozen=True)
class Load:
    """What a while of load showed: times in seconds, CPU of all of the server's processes."""

    requests: int
    seconds: float
    cpu_seconds: float
    p50: float
    p99: float

    @property
    def cpu(self) -> float:
        """CPU seconds a request."""
        return self.cpu_seconds / self.requests


class MeasuredServer:
    """A server and the processes it starts, from its start to its stop.

    `{port}` in the command and in its environment stands for the port.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        path: str = "/predict",
        body: object = None,
        python: str = sys.executable,
        folder: Path = PROJECT,
        **environment: str,
    ) -> None:
        self.port = free_port()
        self.path = path
        self.body = json.dumps(example() if body is None else body).encode()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # closed by stop
        begin = time.perf_counter()
        self._process = subprocess.Popen(
            [python, *(part.replace("{port}", str(self.port)) for part in command)],
            cwd=folder,
            env=os.environ
            | {"PORT": str(self.port), "DRAIN_SECONDS": "0"}
            | {name: value.replace("{port}", str(self.port)) for name, value in environment.items()},
            stdout=subprocess.DEVNULL,
            stderr=self._log,
            start_new_session=True,
        )
        try:
            self._wait_until_answering()
        except BenchError:
            self.stop()
            raise
        self.seconds_to_ready = time.perf_counter() - begin

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        processes = self.processes()
        self._process.terminate()
        _, alive = psutil.wait_procs(processes, timeout=10)
        for process in alive:
            process.kill()
        self._process.wait()
        self._log.close()

    def processes(self) -> list[psutil.Process]:
        try:
            first = psutil.Process(self._process.pid)
            return [first, *first.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def cpu_seconds(self) -> float:
        return sum(sum(process.cpu_times()[:2]) for process in self.processes())

    def resident_mib(self) -> float:
        return sum(float(process.memory_info().rss) for process in self.processes()) / 2**20

    def post(self) -> bytes:
        """Send the body once, and return the answer; URLError where there is none, or none with 200."""
        return self.ask(self.path, self.body)

    def ask(self, path: str, body: bytes | None = None) -> bytes:
        """Post a body, or get a page where there is none, and return the answer; URLError as of `post`."""
        request = Request(  # a loopback address
            f"http://127.0.0.1:{self.port}{path}",
            data=body,
            headers={"Accept": "text/html"} if body is None else {"Content-Type": "application/json"},
        )
        with urlopen(request, timeout=10) as answer:  # noqa: S310
            content: bytes = answer.read()
            return content

    def load(self, seconds: int, connections: int = 16, body: object = None, path: str | None = None) -> Load:
        """Put load on the server; BenchError where a request fails."""
        url = f"http://127.0.0.1:{self.port}{path or self.path}"
        content = self.body if body is None else json.dumps(body).encode()
        return put_load(url, content, seconds, connections, self.cpu_seconds)

    def p99(self, seconds: int, connections: int) -> float:
        """Return p99 of the seconds that answers take, by bench.client; BenchError where one fails."""
        command = [sys.executable, "-m", "bench.client", str(self.port), str(seconds), str(connections)]
        done = subprocess.run(
            command, input=self.body, capture_output=True, check=False, cwd=PROJECT, timeout=seconds + 20
        )
        if done.returncode:
            raise BenchError(done.stderr.decode().splitlines()[-1])
        return float(done.stdout)

    def _wait_until_answering(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        last: object = "nothing listens"
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                self.post()
            except (URLError, OSError) as error:
                last = error
                time.sleep(0.005)
            else:
                return
        self._log.seek(0)
        said = self._log.read().decode(errors="replace")[-2000:]
        raise BenchError(f"no answer from {' '.join(self._process.args)} ({last}):\n{said}")  # type: ignore[arg-type]


def put_load(url: str, body: bytes, seconds: int, connections: int, cpu_seconds: Callable[[], float]) -> Load:
    """Post a body again and again; `cpu_seconds` returns what the server has used so far."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(body)
        file.flush()
        options = ["--threads=1", f"--connections={connections}", f"--duration={seconds}s", "--timeout=30s"]
        before = cpu_seconds()
        done = subprocess.run(
            [wrk(), *options, f"--script={SCRIPT}", url],
            env=os.environ | {"BODY": file.name},
            capture_output=True,
            text=True,
            check=False,
        )
        used = cpu_seconds() - before
    try:
        seen = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        raise BenchError(f"wrk said: {done.stderr or done.stdout}") from None
    if seen["failed"] or not seen["requests"]:
        raise BenchError(f"{seen['failed']} of {seen['requests']} requests failed at {url}")
    return Load(seen["requests"], seen["seconds"], used, seen["p50"], seen["p99"])


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def wrk() -> str:
    """Return where wrk is; BenchError says how to get it."""
    found = shutil.which("wrk")
    if not found:
        raise BenchError("wrk puts the load on: install it (apt install wrk, or brew install wrk)")
    return found
