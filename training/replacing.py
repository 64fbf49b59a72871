"""Writes a folder or a file beside what is there, which stays whole until the new one takes its place."""

import ctypes
import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bundle.errors import BundleError
from training.table import DataError

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""A disk, a quota or a limit that is reached; write() does not say of which file."""

OLD = "old"
AT_FDCWD, RENAME_EXCHANGE = -100, 2
"""Of Linux."""


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Give an empty folder, which becomes `folder` when the context ends well; DataError if that exists."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _place(folder) as place:
        check_absent(folder)
        new = place / folder.name
        new.mkdir()
        try:
            yield new
        except (BundleError, DataError) as error:
            raise type(error)(str(error).replace(str(new), str(folder))) from None
        try:
            new.rename(folder)
        except OSError:
            check_absent(folder)
            raise


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """Give an empty folder, which becomes `folder`, or takes its place, when the context ends well."""
    with _place(folder) as place:
        new = place / folder.name
        new.mkdir()
        yield new
        _swap(new, folder, place / OLD)


def replace_file(path: Path, text: str) -> None:
    """Write a text file, which is the old one or the new one at any time."""
    with _place(path) as place:
        (place / path.name).write_text(text, encoding="utf-8")
        (place / path.name).replace(path)


def check_absent(folder: Path) -> None:
    if os.path.lexists(folder):
        raise DataError(f"{folder} exists and stays as it is: remove it first, or give another name")


@contextmanager
def _place(path: Path) -> Iterator[Path]:
    """Give an empty folder beside a path, which a second run waits for; it is removed in any case.

    What a killed run left there is removed, and what it had moved there is put back.
    """
    place = path.with_name(f".new-{path.name}")
    try:
        with _held(place):
            _put_back(place / OLD, path)
            _empty(place)
            try:
                yield place
            finally:
                shutil.rmtree(place)
    except OSError as error:
        inside = isinstance(error.filename, str | Path) and Path(error.filename).is_relative_to(place)
        if error.errno in FULL or inside:
            raise DataError(f"{path} cannot be written: {error.strerror}") from None
        raise


@contextmanager
def _held(place: Path) -> Iterator[None]:
    """Make a folder and lock it, until a run that has it locked removes it or is gone."""
    while True:
        place.mkdir(exist_ok=True)
        descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), place.stat()):
                break
        os.close(descriptor)
    try:
        yield
    finally:
        os.close(descriptor)


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _swap(new: Path, folder: Path, old: Path) -> None:
    """Put a folder in the place of another: in one step where the system can, else in two."""
    if not os.path.lexists(folder):
        new.rename(folder)
    elif not exchanged(new, folder):
        try:
            folder.rename(old)
            new.rename(folder)
        except BaseException:
            _put_back(old, folder)
            raise


def exchanged(first: Path, second: Path) -> bool:
    """Exchange two folders in one step; False where the system or its file system cannot."""
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)
    paths = (AT_FDCWD, os.fsencode(first), AT_FDCWD, os.fsencode(second))
    return renameat2 is not None and renameat2(*paths, RENAME_EXCHANGE) == 0


def _put_back(old: Path, folder: Path) -> None:
    if os.path.lexists(old) and not os.path.lexists(folder):
        old.rename(folder)
