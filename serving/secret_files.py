"""Secrets in files: read without blocking, and rejected if they are short or guessable."""

import os
import zlib
from pathlib import Path

from bundle.files import read_file

LEAST_BYTES = 32
MOST_BYTES = 4096

LOOKED_AT_BYTES = 1024
LEAST_COMPRESSED_BYTES = 24
"""DEFLATE compresses a repeated word to 21 bytes at most, and 32 random hexadecimal digits to 29 at least."""

MAKE_ONE = "openssl rand -hex 32"


class SecretError(Exception):
    """What is wrong with a secret's file: the end of a sentence that begins with its name."""


def read_secret(file: Path) -> bytes:
    """Return the content of a file without white space around it; SecretError if that is no secret."""
    try:
        secret = read_file(file, MOST_BYTES).strip()
    except OSError as error:
        raise SecretError(f"cannot be read: {error.strerror}") from None
    if len(secret) < LEAST_BYTES:
        raise SecretError(f"is shorter than {LEAST_BYTES} characters: {MAKE_ONE}")
    check_randomness(secret)
    return secret


def check_randomness(secret: bytes) -> None:
    """Raise SecretError if the secret is a repeated character or word."""
    compressor = zlib.compressobj(level=9, wbits=-zlib.MAX_WBITS)
    if len(compressor.compress(secret[:LOOKED_AT_BYTES]) + compressor.flush()) < LEAST_COMPRESSED_BYTES:
        raise SecretError(f"repeats itself, and can be guessed: {MAKE_ONE}")


def named(setting: str, file: Path) -> str:
    """Return how a message names a secret's file; a value that is no path may be the secret itself."""
    return f"{setting}={file}" if os.path.lexists(file) or is_in_folder(file) else setting


def is_in_folder(file: Path) -> bool:
    """Return whether a path's folder exists; the root does not count, for /SECRET is in it."""
    folder = os.path.dirname(file)  # noqa: PTH120
    return bool(folder.strip("/")) and os.path.isdir(folder)  # noqa: PTH112  # does not raise
