"""Counts the instructions of a request: `python -m bench.instructions` writes what tests/budget holds us to.

Counts are nearly the same on every run, where times are not. valgrind counts what the processor executes in
user space; system calls count as nothing, and every request sees a new millisecond, because it takes one.
"""

import json
import os
import platform
import re
import shutil
import subprocess
import sys

from bench.load import PROJECT, BenchError
from bench.results import FOLDER

FILE = FOLDER / "instructions.json"
FEW, MANY = 50, 350
FIXED = {"PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"}
"""What the counted program has of an environment: the caller's settings, such as LOG_LEVEL, change counts."""


def count(application: str) -> float:
    """Return the instructions of one request to ours or to the echo."""
    _run([], application, FEW)  # compiles what has changed, which would count as part of the first run
    return (_counted(application, MANY) - _counted(application, FEW)) / (MANY - FEW)


def platform_of_counts() -> str:
    """Return what the counts depend on beside our code and its locked libraries."""
    return f"CPython {platform.python_version()} {platform.machine()}"


def _counted(application: str, requests: int) -> int:
    valgrind = shutil.which("valgrind")
    if not valgrind:
        raise BenchError("valgrind counts instructions: install it (apt install valgrind)")
    said = _run([valgrind, "--tool=callgrind", "--callgrind-out-file=/dev/null"], application, requests)
    found = re.search(r"Collected : (\d+)", said)
    if not found:
        raise BenchError(f"valgrind said: {said[-2000:]}")
    return int(found[1])


def _run(under: list[str], application: str, requests: int) -> str:
    """Send requests in a process of their own, and return what it says on standard error."""
    done = subprocess.run(
        [*under, sys.executable, "-m", "bench.drive", application, str(requests)],
        cwd=PROJECT,
        env=FIXED | {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BenchError(f"the requests could not be sent: {done.stderr[-2000:]}")
    return done.stderr


def main() -> None:
    counts = {name: round(count(name)) for name in ("ours", "echo")}
    content = {"platform": platform_of_counts(), "instructions": counts}
    FILE.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"{counts} on {platform_of_counts()}, written to {FILE.relative_to(PROJECT)}")


if __name__ == "__main__":
    try:
        main()
    except BenchError as error:
        sys.exit(f"error: {error}")
