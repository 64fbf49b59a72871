"""Slow and greedy clients against a server with a pod's memory: others are answered, and nothing is left.

slowhttptest (Debian) sends slow heads, slow bodies, ranges, and reads slowly. A seed chooses the clients of
greedy.py.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.harness import TEST_LONG, Server, eventually
from tests.programs.greedy import GreedyClients, Watch

SECONDS = 60 if TEST_LONG else 20
MIX_SECONDS = int(os.environ.get("MIX_SECONDS") or (3600 if TEST_LONG else 20))
POD_BYTES = 256 * 1024 * 1024
MEMORY = Path("/sys/fs/cgroup/memory")
UNIFIED = Path("/sys/fs/cgroup")

ATTACKS = {
    "slow heads": ["-H", "-i", "1"],
    "slow bodies": ["-B", "-i", "1", "-s", "500000", "-f", "application/json"],
    "ranges": ["-R"],
    "slow reads": ["-X", "-k", "3", "-w", "512", "-y", "1024", "-n", "2", "-z", "32"],
}
PATHS = {"slow bodies": "/predict/batch", "slow reads": "/docs/swagger-ui-bundle.js"}


@pytest.fixture
def pod_memory() -> Iterator[Path]:
    """A control group with the memory of a pod; it kills what needs more."""
    root, limit = (MEMORY, "memory.limit_in_bytes") if MEMORY.exists() else (UNIFIED, "memory.max")
    folder = root / f"slow-clients-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"no control group of our own: root may make one ({error.strerror})")
    (folder / limit).write_text(str(POD_BYTES), encoding="ascii")
    yield folder
    folder.rmdir()


@pytest.fixture
def start_in_pod(pod_memory: Path) -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(**settings: str) -> Server:
        shell = f"echo $$ > {pod_memory}/cgroup.procs; exec {sys.executable} api_server.py"
        servers.append(Server(settings, ["bash", "-c", shell]))
        return servers[-1].wait_until_ready()

    yield start
    for server in servers:
        assert server.stop() == 0, server.lines[-5:]


def kills(group: Path) -> int:
    """Return how many processes were killed because they needed more memory than there is."""
    events = group / "memory.events"
    text = (events if events.exists() else group / "memory.oom_control").read_text(encoding="ascii")
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("oom_kill "))


def most_mebibytes(group: Path) -> float:
    files = (group / name for name in ("memory.max_usage_in_bytes", "memory.peak"))
    return next(int(file.read_text(encoding="ascii")) for file in files if file.exists()) / 2**20


def attack(server: Server, name: str) -> subprocess.Popen[bytes]:
    program = shutil.which("slowhttptest")
    assert program, "slowhttptest is missing: apt-get install slowhttptest"
    url = f"{server.url}{PATHS.get(name, '/health')}"
    options = ["-c", "200", "-r", "50", "-l", str(SECONDS), "-p", "30", "-v", "0", "-u", url, *ATTACKS[name]]
    return subprocess.Popen([program, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def test_slow_clients_keep_nobody_from_an_answer(
    start_in_pod: Callable[..., Server], pod_memory: Path, record_property: Callable[[str, object], None]
) -> None:
    server = start_in_pod()
    with Watch(server.port) as before:
        eventually(lambda: len(before.seconds) >= 300, "the server is measured without them")
    attacks = [attack(server, name) for name in ATTACKS]
    with Watch(server.port) as beside:
        for running in attacks:
            assert running.wait(SECONDS + 60) == 0
    assert before.failures == beside.failures == []
    eventually(lambda: server.metric("open_connections") <= 2, "all their connections are gone", 60)
    eventually(lambda: server.metric("active_requests") == 0, "and their requests")
    assert server.metric("connections_closed_total", reason="unread_answer") > 0
    assert kills(pod_memory) == 0
    said = f"{SECONDS} s of slow clients: p99 {1e3 * beside.p99():.1f} ms, {1e3 * before.p99():.1f} without"
    record_property("measured", f"{said}; at most {most_mebibytes(pod_memory):.0f} MiB")


def test_a_mix_of_greedy_clients_leaves_nothing_behind(
    start_in_pod: Callable[..., Server], pod_memory: Path, record_property: Callable[[str, object], None]
) -> None:
    server = start_in_pod()
    process = server.process.pid
    with Watch(server.port) as watch, GreedyClients(server.port, 48, seed=24) as clients:
        eventually(
            lambda: sum(watch.seconds) > 0 and elapsed(server) > MIX_SECONDS,
            "the mix is over",
            MIX_SECONDS + 60,
        )
    assert watch.failures == []
    assert server.process.poll() is None
    assert server.process.pid == process
    eventually(lambda: server.metric("active_requests") == 0, "no request is left", 60)
    eventually(lambda: server.metric("open_connections") <= 2, "no connection is left", 60)
    assert kills(pod_memory) == 0
    assert not [line for line in server.lines if '"level":"error"' in line or "Traceback" in line]
    said = f"{clients.begun} greedy clients in {MIX_SECONDS} s: at most {most_mebibytes(pod_memory):.0f} MiB"
    record_property("measured", f"{said}; p99 of rows {1e3 * watch.p99():.1f} ms")


def elapsed(server: Server) -> float:
    """Return for how long a process has run, by its own clock."""
    series = server.metrics()
    started = series["process_start_time_seconds", frozenset()]
    return time.time() - started
