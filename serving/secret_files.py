"""Secrets that lie in files: read without ever waiting, and rejected where they are not worth the name."""

import os
import stat
import zlib
from pathlib import Path

LEAST_BYTES = 32
MOST_BYTES = 1024

LEAST_COMPRESSED_BYTES = 24
"""DEFLATE makes at most 21 of a character or a word repeated, at least 29 of 32 random hexadecimal digits."""

MAKE_ONE = "openssl rand -hex 32"


class SecretError(Exception):
    """What is wrong with a file, to be said after its name."""


def read_secret(file: Path) -> bytes:
    """Return what a file has but for white space around it; SecretError where that is no secret."""
    content = _read(file)
    if len(content) > MOST_BYTES:
        raise SecretError(f"is longer than {MOST_BYTES} bytes")
    secret = content.strip()
    if len(secret) < LEAST_BYTES:
        raise SecretError(f"is shorter than {LEAST_BYTES} characters: {MAKE_ONE}")
    return secret


def check_randomness(secret: bytes) -> None:
    """SecretError where a secret is a character or a word that is repeated."""
    compressor = zlib.compressobj(level=9, wbits=-zlib.MAX_WBITS)
    if len(compressor.compress(secret) + compressor.flush()) < LEAST_COMPRESSED_BYTES:
        raise SecretError(f"repeats itself, and can be guessed: {MAKE_ONE}")


def _read(file: Path) -> bytes:
    """Return what a regular file begins with: pipes and devices may never answer, or never end."""
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise SecretError("is no regular file")
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return os.read(descriptor, MOST_BYTES + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise SecretError(f"cannot be read: {error.strerror}") from None
