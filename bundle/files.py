"""Reads a file that others may have written: only a regular file, up to a size, and without blocking."""

import errno
import os
import stat
from pathlib import Path


def read_file(path: Path, most_bytes: int) -> bytes:
    """Return the content of a regular file; links are followed.

    OSError if it is larger, or not a regular file (a folder, a FIFO, a device); its strerror says which.
    """
    _check(path.stat(), path)  # before opening, which has side effects on some devices
    with open(path, "rb", opener=_without_waiting) as file:
        found = os.fstat(file.fileno())
        _check(found, path)
        # a file of the kernel has no size until it is read
        content = b"" if found.st_size > most_bytes else file.read(most_bytes + 1)
        if content is None:  # from a file of the kernel that has no data yet
            raise OSError(errno.EAGAIN, "there is nothing to read at the moment", str(path))
    if max(len(content), found.st_size) > most_bytes:
        raise OSError(errno.EFBIG, f"it is larger than {most_bytes} bytes", str(path))
    return content


def _check(found: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))


def _without_waiting(path: str, flags: int) -> int:
    """Open without blocking, as a FIFO would until somebody writes to it."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)
