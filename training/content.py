"""Reads the bytes of a table of labelled rows: CSV as it is, or compressed, and Parquet as CSV."""

import bz2
import codecs
import csv
import gzip
import io
import lzma
import math
import re
import zlib
from collections.abc import Callable
from datetime import date, datetime, time
from pathlib import Path

from bundle.declaration import TableFormat

PARQUET = b"PAR1"

PARQUET_FORMAT = {"separator": ",", "encoding": "utf-8", "decimal": "."}
"""How the CSV is written that a Parquet file becomes."""

COMPRESSED: dict[bytes, Callable[[Path], io.BufferedIOBase]] = {
    b"\x1f\x8b": gzip.GzipFile,
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ": lzma.LZMAFile,
}
"""How a compressed file begins, and what opens it."""

OTHER_FORMATS = {
    b"PK\x03\x04": "a ZIP archive, or a workbook of Excel: unpack it, or save the sheet as CSV",
    b"\xd0\xcf\x11\xe0": "a workbook of Excel: save the sheet as CSV",
    b"\x28\xb5\x2f\xfd": "compressed by zstd: unpack it first",
    b"%PDF": "a PDF document: give a CSV file",
    PARQUET: "Parquet inside a compressed file: unpack it first",
    **dict.fromkeys(COMPRESSED, "compressed twice: unpack it first"),
}
"""How a file begins that is no table, and what to do."""

OTHER_TEXTS = {
    re.compile(rb"<(!doctype\s+)?html|<!doctype", re.IGNORECASE): "a web page: give a CSV file",
    re.compile(rb"<\?xml", re.IGNORECASE): "XML: give a CSV file",
    re.compile(rb'\{\s*("|\})|\[\s*[\[{]'): "JSON: give a CSV file",
}
"""The same for texts, after blanks and a byte order mark."""

UNNAMED_INDEX = re.compile(r"__index_level_\d+__")
"""Column in which pandas keeps the numbers of rows that were chosen from a frame."""

HEAD_BYTES = 64 * 1024
MOST_BYTES = 512 * 1024 * 1024


class DataError(Exception):
    """The data cannot be used for training; the message says what to do."""


def read_content(path: Path) -> bytes:
    """Return the bytes of a table, unpacked, and a Parquet file as CSV; DataError for what is no table."""
    if path.exists() and not path.is_file():  # a pipe or a device may never end
        raise DataError(f"{path} is not a regular file: give a CSV file")
    if path.stat().st_size > MOST_BYTES:
        raise _too_large(path)
    if is_parquet(path):
        return _from_parquet(path)
    with _opened(path) as file:
        try:
            head = file.read(HEAD_BYTES)
            _check_text(path, head)
            content = head + file.read(MOST_BYTES + 1 - len(head))
        except (EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error) as error:
            raise _damaged(path, error) from None
        except OSError as error:
            if error.errno is not None:
                raise
            raise _damaged(path, error) from None  # as bzip2 says it
    if len(content) > MOST_BYTES:
        raise _too_large(path)
    return content


def is_parquet(path: Path) -> bool:
    """Return whether a file begins as Parquet does."""
    return path.is_file() and _beginning(path).startswith(PARQUET)


def format_of(path: Path, declared: TableFormat) -> TableFormat:
    """Return how a table is written: as [table] declares, unless it is Parquet, which has no separator."""
    return declared.model_copy(update=PARQUET_FORMAT) if is_parquet(path) else declared


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(max(map(len, [PARQUET, *COMPRESSED])))


def _opened(path: Path) -> io.BufferedIOBase:
    beginning = _beginning(path)
    for compressed, opens in COMPRESSED.items():
        if beginning.startswith(compressed):
            return opens(path)
    return path.open("rb")


def _check_text(path: Path, head: bytes) -> None:
    for beginning, sentence in OTHER_FORMATS.items():
        if head.startswith(beginning):
            raise DataError(f"{path} is {sentence}")
    start = head.removeprefix(codecs.BOM_UTF8).lstrip()
    for pattern, sentence in OTHER_TEXTS.items():
        if pattern.match(start):
            raise DataError(f"{path} is {sentence}")


def _too_large(path: Path) -> DataError:
    return DataError(f"{path} has more than {MOST_BYTES >> 20} MiB, the most that is read: give fewer rows")


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} cannot be unpacked, and may be cut off: {error}")


def _from_parquet(path: Path) -> bytes:
    from pyarrow import ArrowException, parquet  # noqa: PLC0415 - slow to import, and for one kind of file

    try:
        table = parquet.read_table(path)
    except (ArrowException, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise DataError(f"{path} cannot be read as Parquet, and may be cut off: {reason}") from None
    table = table.drop_columns([name for name in table.column_names if UNNAMED_INDEX.fullmatch(name)])
    columns = [[_cell(value) for value in column.to_pylist()] for column in table.columns]
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.column_names)
    writer.writerows(zip(*columns, strict=True))
    return text.getvalue().encode()


def _cell(value: object) -> str:
    """Return a value of a Parquet file as a cell, as pandas writes it into CSV: True and False for a boolean.

    Lists and the like become texts, which are left out.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return value.isoformat() if isinstance(value, date | datetime | time) else str(value)
