"""Secrets that lie in files: read without ever waiting, and rejected where they are not worth the name."""

import os
import zlib
from pathlib import Path

from bundle.files import read_file

LEAST_BYTES = 32
MOST_BYTES = 4096

LOOKED_AT_BYTES = 1024
LEAST_COMPRESSED_BYTES = 24
"""DEFLATE makes at most 21 of that many of a word repeated, at least 29 of 32 random hexadecimal digits."""

MAKE_ONE = "openssl rand -hex 32"


class SecretError(Exception):
    """What is wrong with a file, to be said after its name."""


def read_secret(file: Path) -> bytes:
    """Return what a file has but for white space around it; SecretError where that is no secret."""
    try:
        secret = read_file(file, MOST_BYTES).strip()
    except OSError as error:
        raise SecretError(f"cannot be read: {error.strerror}") from None
    if len(secret) < LEAST_BYTES:
        raise SecretError(f"is shorter than {LEAST_BYTES} characters: {MAKE_ONE}")
    check_randomness(secret)
    return secret


def check_randomness(secret: bytes) -> None:
    """SecretError where a secret is a character or a word that is repeated."""
    compressor = zlib.compressobj(level=9, wbits=-zlib.MAX_WBITS)
    if len(compressor.compress(secret[:LOOKED_AT_BYTES]) + compressor.flush()) < LEAST_COMPRESSED_BYTES:
        raise SecretError(f"repeats itself, and can be guessed: {MAKE_ONE}")


def named(setting: str, file: Path) -> str:
    """Return how a message names such a file: what leads to no folder may be the secret, set by mistake."""
    return f"{setting}={file}" if os.path.lexists(file) or is_in_folder(file) else setting


def is_in_folder(file: Path) -> bool:
    """Tell whether a path leads into a folder that is there; the root does not count: /SECRET leads there."""
    folder = os.path.dirname(file)  # noqa: PTH120
    return bool(folder.strip("/")) and os.path.isdir(folder)  # noqa: PTH112  # does not raise
