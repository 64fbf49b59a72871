"""The salt of an installation, by which keys choose a version: without it nobody can choose for them."""

import os
import stat
from hashlib import blake2s
from pathlib import Path

LEAST_BYTES = 16
MOST_BYTES = 4096
LEAST_DIFFERENT = 4
"""Bytes of which a random salt always has more kinds."""

HOW = "make one that all replicas share: openssl rand -hex 32 > canary-salt"


def read_salt(file: Path) -> bytes:
    """Return 32 bytes made of a file's; ValueError where it holds no salt, or is no file."""
    content = _content(file)
    if len(content) > MOST_BYTES:
        raise ValueError(f"has more than {MOST_BYTES} bytes; {HOW}")
    if len(content) < LEAST_BYTES:
        raise ValueError(f"has fewer than {LEAST_BYTES} bytes; {HOW}")
    if len(set(content)) < LEAST_DIFFERENT:
        raise ValueError(f"is not random; {HOW}")
    return blake2s(content).digest()


def _content(file: Path) -> bytes:
    """Return what a file begins with. A FIFO or a device is not waited for."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb", buffering=0) as opened:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                return opened.read(MOST_BYTES + 1)
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror}); {HOW}") from None
    raise ValueError(f"is not a regular file; {HOW}")
