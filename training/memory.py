"""What training costs: memory that it needs by rows and features, and what it took in the end."""

import os
import resource
import sys
import time
from pathlib import Path

from training.content import DataError

BASE = 420
BYTES_A_VALUE, BYTES_A_ROW = 60, 500
"""What training takes at most: MiB for Python's libraries and the metrics, and bytes by value and by row."""

MIB = 2**20
CGROUP = Path("/sys/fs/cgroup")
MEMORY = Path("/proc/meminfo")
STATUS = Path("/proc/self/status")


def needed(rows: int, features: int) -> int:
    """Return the MiB that training so many rows takes, which docs/models.md states."""
    return BASE + rows * (features * BYTES_A_VALUE + BYTES_A_ROW) // MIB


def available() -> int | None:
    """Return the MiB that this process may take: of the machine, of its container, of its limit.

    None where nothing says so.
    """
    limits = [_free_of_machine(), _free_of_container(), _limit()]
    known = [limit for limit in limits if limit is not None]
    return min(known) // MIB if known else None


def check_memory(path: Path, rows: int, features: int) -> None:
    """Reject a table that cannot be trained in the memory that there is, before it is read."""
    have, need = available(), needed(rows, features)
    if have is not None and need > have:
        raise DataError(
            f"{path} has {rows:,} rows of {features} features, which need about {need:,} MiB to train on, "
            f"and {have:,} MiB are free here: give fewer rows, or more memory (docs/models.md)"
        )


def _free_of_machine() -> int | None:
    if not MEMORY.exists():
        return None
    for line in MEMORY.read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _free_of_container() -> int | None:
    """Return what the container's limit leaves; its files in memory can be given back."""
    try:
        limit = (CGROUP / "memory.max").read_text(encoding="ascii").strip()
        used = (CGROUP / "memory.stat").read_text(encoding="ascii").split()
    except OSError:
        return None
    if limit == "max":
        return None
    return int(limit) - int(used[used.index("anon") + 1]) + _own()


def _limit() -> int | None:
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if soft == resource.RLIM_INFINITY else soft


def _own() -> int:
    """Return what this process has already, which what it needs includes."""
    statm = Path("/proc/self/statm")
    pages = int(statm.read_text(encoding="ascii").split()[1]) if statm.exists() else 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def peak() -> int:
    """Return the most MiB that this process has had; what getrusage tells includes that of who started it."""
    if STATUS.exists():
        (line,) = (
            text for text in STATUS.read_text(encoding="ascii").splitlines() if text.startswith("VmHWM:")
        )
        return int(line.split()[1]) // 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most // MIB if sys.platform == "darwin" else most // 1024


class Cost:
    """What a command has cost since it began."""

    def __init__(self) -> None:
        self._begin = time.monotonic()

    def __str__(self) -> str:
        return f"in {time.monotonic() - self._begin:.0f} s with {peak():,} MiB"
