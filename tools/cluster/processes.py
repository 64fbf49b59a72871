"""Long-running programs of the cluster: started once, logged, recorded, stopped in reverse order.

A program is recorded by its pid and the time it started, in clock ticks since the machine did: a pid alone
may belong to somebody else after a crash or a restart of the machine.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from tools.cluster.places import STATE, ClusterError

PIDS = STATE / "pids"
LOGS = STATE / "logs"
STOP_SECONDS = 30


def start(name: str, command: list[str]) -> None:
    """Start a program unless it runs already."""
    PIDS.mkdir(parents=True, exist_ok=True)
    LOGS.mkdir(parents=True, exist_ok=True)
    if running(name):
        return
    with (LOGS / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True
        )
    record = f"{process.pid} {_start_time(process.pid)}"
    (PIDS / f"{time.time_ns()}-{name}").write_text(record, encoding="utf-8")


def running(name: str = "*") -> bool:
    return any(_alive(file) for file in PIDS.glob(f"*-{name}"))


def stop_all() -> None:
    """Stop every program that was started, the last one first, and wait for each."""
    for file in sorted(PIDS.glob("*"), reverse=True):
        if _alive(file):
            pid = int(file.read_text(encoding="utf-8").split()[0])
            os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + STOP_SECONDS
            while _alive(file) and time.monotonic() < deadline:
                time.sleep(0.1)
            if _alive(file):
                os.kill(pid, signal.SIGKILL)
        file.unlink()


def kill(pids: Iterable[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def command(pid: int) -> str:
    """Return a process's command line; nothing when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8").replace("\0", " ").strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def wait_for(
    command: list[str], what: str, seconds: float = 120, meanwhile: Callable[[], None] = lambda: None
) -> None:
    """Run a command until it succeeds, and `meanwhile` before each try.

    ClusterError says what did not come, where the logs are, and the last words of each program that ended.
    """
    deadline = time.monotonic() + seconds
    while True:
        meanwhile()
        result = subprocess.run(command, check=False, capture_output=True, text=True)
        if result.returncode == 0:
            return
        if time.monotonic() > deadline:
            reasons = [result.stderr.strip()[-300:], *_last_words()]
            raise ClusterError(f"{what} did not come within {seconds:g} s, see {LOGS}: " + "\n".join(reasons))
        time.sleep(0.3)


def _last_words() -> list[str]:
    ended = sorted({name for file in PIDS.glob("*") if not running(name := file.name.partition("-")[2])})
    logs = {name: (LOGS / f"{name}.log").read_text(encoding="utf-8", errors="replace") for name in ended}
    return [f"{name} has ended: {log[-600:].strip()}" for name, log in logs.items()]


def _alive(record: Path) -> bool:
    pid, start_time = record.read_text(encoding="utf-8").split()
    return _start_time(int(pid)) == start_time


def _start_time(pid: int) -> str | None:
    """Return when a process started; None when it is gone, or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] == "Z" else fields[19]
