"""Reads a file that others may have put there: a regular one, no larger than it may be, without waiting."""

import errno
import os
import stat
from pathlib import Path


def read_file(path: Path, most_bytes: int) -> bytes:
    """Return the content of a regular file, or of one that a link leads to.

    OSError where it is larger, or none (a folder, a FIFO, a device): its strerror says so.
    """
    _check(path.stat(), path)  # before it is opened, which some devices answer by doing something
    with open(path, "rb", opener=_without_waiting) as file:
        found = os.fstat(file.fileno())
        _check(found, path)
        # one whose size is known to be too large is not read; files of the kernel have none
        content = b"" if found.st_size > most_bytes else file.read(most_bytes + 1)
        if content is None:  # as some files of the kernel answer while they have nothing to say
            raise OSError(errno.EAGAIN, "there is nothing to read at the moment", str(path))
    if max(len(content), found.st_size) > most_bytes:
        raise OSError(errno.EFBIG, f"it is larger than {most_bytes} bytes", str(path))
    return content


def _check(found: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))


def _without_waiting(path: str, flags: int) -> int:
    """Open a FIFO, too, at once: else that waits for somebody who writes to it."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)
