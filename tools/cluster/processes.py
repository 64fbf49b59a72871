"""Long-running programs of the cluster: started once, logged, recorded by pid, stopped in reverse order."""

import os
import signal
import subprocess
import time
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
    (PIDS / f"{time.time_ns()}-{name}").write_text(str(process.pid), encoding="utf-8")


def running(name: str) -> bool:
    return any(_alive(file) for file in PIDS.glob(f"*-{name}"))


def stop_all() -> None:
    """Stop every program that was started, the last one first, and wait for each."""
    for file in sorted(PIDS.glob("*"), reverse=True):
        if _alive(file):
            pid = int(file.read_text(encoding="utf-8"))
            os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + STOP_SECONDS
            while _alive(file) and time.monotonic() < deadline:
                time.sleep(0.1)
            if _alive(file):
                os.kill(pid, signal.SIGKILL)
        file.unlink()


def kill_matching(*words: str) -> None:
    """Kill the processes whose command line has all of these words: containerd's shims outlive it."""
    for command_line in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if all(word.encode() in command_line.read_bytes() for word in words):
                os.kill(int(command_line.parent.name), signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError):
            continue


def wait_for(command: list[str], what: str, seconds: float = 120) -> None:
    """Run a command until it succeeds; ClusterError says what did not come, and where the logs are."""
    deadline = time.monotonic() + seconds
    while (result := subprocess.run(command, check=False, capture_output=True, text=True)).returncode != 0:
        if time.monotonic() > deadline:
            raise ClusterError(
                f"{what} did not come within {seconds:g} s, see {LOGS}: {result.stderr.strip()[-300:]}"
            )
        time.sleep(0.3)


def _alive(pid_file: Path) -> bool:
    """Tell whether the recorded process is there: a zombie of ours is not."""
    stat = Path(f"/proc/{pid_file.read_text(encoding='utf-8')}/stat")
    try:
        return stat.read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
