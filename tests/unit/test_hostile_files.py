"""A file that no model can be made of gives a sentence and no traceback, in `make new` and in training."""

import gzip
import io
import os
import random
import re
import time
import tracemalloc
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from bundle.declaration import Declaration, load_declaration
from training import new
from training.content import MOST_BYTES
from training.importing import read_frame
from training.sniff import guess_format
from training.table import DataError, read_table

SECONDS = 20
"""Far more than any of them takes."""

ROWS = [f"{20 + place},{place % 7}.5,{'yes' if place % 3 else 'no'}" for place in range(60)]
UNLABELLED = [row.rpartition(",")[0] for row in ROWS]
LABELS = [row.rpartition(",")[2] for row in ROWS]
HEADER = "age,income,default"
GOOD = "\n".join([HEADER, *ROWS, ""])


def text(*lines: str) -> bytes:
    return "\n".join([*lines, ""]).encode()


def labelled(starts: Iterable[str]) -> list[str]:
    return [f"{start},{label}" for start, label in zip(starts, LABELS, strict=True)]


def in_parquet(**columns: list[object]) -> bytes:
    buffer = io.BytesIO()
    parquet.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("rows.csv", GOOD)
    return buffer.getvalue()


def changed(line: int, row: str) -> bytes:
    """Return the good table with another row in this line of the file."""
    lines = GOOD.splitlines()
    return text(*lines[: line - 1], row, *lines[line:])


WIDE = ",".join(f"c{number}" for number in range(100_000))

HOSTILE: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "blank lines alone": (b"\n\n  \n", "lacks the column 'default'"),
    "a byte order mark alone": (b"\xef\xbb\xbf", "is empty"),
    "a header alone": (text(HEADER), "has a header and no rows"),
    "no header": (text(*ROWS), "its first line looks like a row: add a line with the names of the columns"),
    "another target": (text("age,income,late", *ROWS), "it has 'age', 'income', 'late'$"),
    "the target twice": (text("age,default,default", *ROWS), "has the column 'default' twice"),
    "every feature twice": (text("age,age,default", *ROWS), "'age': its name is in the header twice"),
    "names that are blank": (text(",,default", *ROWS), "no column that can be a feature: '': it has no name"),
    "names with special blanks": (text("\u00a0a,\u2003b,default", *ROWS), "special blank or a control char"),
    "a short row": (changed(9, "30,1.5"), "line 9 has 2 cells where the header has 3"),
    "a long row": (changed(9, "30,1.5,yes,"), "line 9 has 4 cells where the header has 3"),
    "a row of blanks": (changed(9, "   "), "line 9 has 1 cells where the header has 3"),
    "cut off in a row": (GOOD.encode()[:-9], "line 61 has 1 cells where the header has 3"),
    "cut off in a quote": (changed(61, '80,"1.5,yes'), "unexpected end of data: .* that begins on line 61"),
    "an open quote": (changed(9, '30,"1.5,yes'), "a quote that is not closed, .* begins on line 9"),
    "a quote inside of a quote": (changed(9, '30,"1"5",yes'), "near line 9: .* expected after '\"'"),
    "quotes alone": (b'"' * 100_001, "cannot be read as CSV|lacks the column"),
    "a cell over 128 KiB": (changed(9, f"30,{'1' * 140_000},yes"), "near line 9: field larger"),
    "one giant line": (b"x" * 20_000_000, "field larger than field limit"),
    "one giant line of cells": (b"1," * 2_000_000, "its first line looks like a row"),
    "100,000 columns": (text(f"{WIDE},default", f"{WIDE},yes"), "has 100001 columns: .* 1000 at most"),
    "100,000 columns without the target": (text(WIDE, WIDE), "'c19' and 99980 more"),
    "one column": (text("default", *LABELS), "has no column that can be a feature"),
    "NUL in a cell": (changed(9, "3\0,1.5,yes"), "line 9 holds a NUL character: the file is damaged"),
    "NUL alone": (b"\0" * 10_000, "holds a NUL character"),
    "noise": (random.Random(0).randbytes(50_000), "."),
    "mixed encodings": (
        text(HEADER, "grün,1,no").replace(b"gr", b"gr\xf6\xdf") + text("süß,1,no"),
        "line 2 is not UTF-8, and other lines are: encodings are mixed",
    ),
    "cut off in a letter": (text(HEADER, "ä,1,no") + "ü".encode()[:1], "line 3 is not UTF-8, .* cut off"),
    "UTF-16 that is cut off": (GOOD.encode("utf-16")[:-1], "is cut off, or is not UTF-16"),
    "UTF-32 that is none": (b"\xff\xfe\0\0" + b"abcd" * 10, "is cut off, or is not UTF-32"),
    "gzip that is cut off": (gzip.compress(GOOD.encode(), mtime=0)[:-9], "cannot be unpacked, and may be"),
    "bzip2 that is none": (b"BZh" + GOOD.encode(), "cannot be unpacked, and may be cut off"),
    "xz that is none": (b"\xfd7zXZ" + GOOD.encode(), "cannot be unpacked, and may be cut off"),
    "a web page in gzip": (gzip.compress(b"<!DOCTYPE html><html>", mtime=0), "is a web page: give a CSV"),
    "gzip in gzip": (gzip.compress(gzip.compress(GOOD.encode()), mtime=0), "is compressed twice: unpack it"),
    "zstd": (b"\x28\xb5\x2f\xfd" + GOOD.encode(), "is compressed by zstd: unpack it first"),
    "zip": (zipped(), "is a ZIP archive, or a workbook of Excel"),
    "a web page": (b"<!DOCTYPE html><html><body>Log in</body></html>", "is a web page: give a CSV file"),
    "a web page after a blank line": (b"\n<!doctype html>\n<table>", "is a web page: give a CSV file"),
    "a web page in small letters": (b"\xef\xbb\xbf<HTML><table>", "is a web page: give a CSV file"),
    "XML": (b' <?XML version="1.0"?><rows/>', "is XML: give a CSV file"),
    "JSON of one row a line": (b'{"age": 30}\n{"age": 31}\n', "is JSON: give a CSV file"),
    "JSON with blanks": (b' [ {"age": 30, "default": "yes"}]', "is JSON: give a CSV file"),
    "JSON of lists": (b'[["age", "default"], [30, "yes"]]', "is JSON: give a CSV file"),
    "a comment first": (b"# made by me\n" + GOOD.encode(), "begins with #: if it is a comment, remove it"),
    "a comment of three cells": (b"#a,b,c\n" + GOOD.encode(), "begins with #: if it is a comment, remove"),
    "a short row after the separator": (b"sep=,\n" + changed(9, "30,1.5"), "line 10 has 2 cells where"),
    "an open quote after the separator": (b"sep=,\n" + changed(9, '30,"1.5,yes'), "begins on line 10"),
    "a class in two spellings that look the same": (
        text(HEADER, *(f"{row},{('é', 'e' + chr(0x301))[n % 2]}" for n, row in enumerate(UNLABELLED))),
        r"spellings, 'e\u0301' \(U\+0065 U\+0301\) and 'é' \(U\+00E9\): keep one|may only hold",
    ),
    "categories that look the same": (
        text("a,default", *labelled(("é", "e\u0301")[n % 2] for n in range(60))),
        r"'a': one category in two spellings, 'e\u0301' \(U\+0065 U\+0301\) and 'é' \(U\+00E9\): keep|lacks",
    ),
    "codes with leading zeros": (
        text("a,default", *labelled(f"{n:05}" for n in range(60))),
        "'a': it holds codes with leading zeros, such as 007, too many for categories|lacks",
    ),
    "codes with and without leading zeros": (
        text("a,default", *labelled(("007", "7", "1", "8")[n % 4] for n in range(60))),
        "'a': it holds codes with and without leading zeros, such as 007 and 7: write each in one way|lacks",
    ),
    "whole numbers that float32 cannot tell apart": (
        text("a,default", *labelled(f"{1000000001 + n % 4}" for n in range(60))),
        "'a': float32 cannot tell its values apart: subtract a constant|lacks",
    ),
    "JSON": (b'[{"age": 30, "income": 1.5, "default": "yes"}]', "is JSON: give a CSV file"),
    "Parquet that is none": (b"PAR1" + b"\x01" * 100, "cannot be read as Parquet, and may be cut off"),
    "Parquet that is cut off": (in_parquet(age=[1], default=["a"])[:-20], "cannot be read as Parquet"),
    "Parquet without rows": (in_parquet(age=[], default=[]), "has a header and no rows"),
    "Parquet of lists": (
        in_parquet(age=[[n] for n in range(60)], default=["a", "b", "b"] * 20),
        "'age': it holds text: 60 different values in 60 rows",
    ),
    "one class": (text(HEADER, *(f"{row},yes" for row in UNLABELLED)), "all rows have the same value"),
    "five rows": (text(HEADER, *ROWS[:5]), r"\('no': 2, 'yes': 3\): training needs 10 of each"),
    "a class of one row": (changed(9, "30,1.5,maybe"), r"1 of the 3 classes .* \('maybe': 1\)"),
    "a row without a class": (changed(9, "30,1.5,"), "line 9: .* has no value, as in 1 of 60"),
    "rows without a class": (changed(9, "30,1.5,NA"), "line 9: the column 'default' has no value"),
    "a class written in two ways": (
        text(HEADER, *(f"{row},{n % 2}{'.0' * (n % 4 > 1)}" for n, row in enumerate(UNLABELLED))),
        "has one class in two spellings, '0' and '0.0': keep one",
    ),
    "a number to predict": (
        text(HEADER, *(f"1,2,{n * 1.7}" for n in range(60))),
        "60 different numbers: .* regression is not supported yet. Make .* such as default_is_high",
    ),
    "texts to predict": (text(HEADER, *(f"1,2,t{n}" for n in range(60))), "60 different texts in 60 rows"),
    "columns that are all missing": (text(HEADER, *(f",?,{label}" for label in LABELS)), "are missing"),
    "columns that are constant": (text(HEADER, *(f"1,2,{label}" for label in LABELS)), "the same value"),
    "formulas": (
        text("a,default", *labelled(f"=HYPERLINK({n % 3})" for n in range(60))),
        "'a': it holds formulas: save their values",
    ),
    "dates": (
        text("a,default", *labelled(f"2026-01-{n % 9 + 10}" for n in range(60))),
        "'a': it holds dates: a model needs numbers",
    ),
    "free text": (
        text("a,default", *labelled(f"call {n} back" for n in range(60))),
        "'a': it holds text: 60 different values in 60 rows",
    ),
    "row numbers": (
        text(",a,default", *labelled(f"{n},{n}" for n in range(60))),
        "'': it has no name; 'a': it numbers the rows",
    ),
    "thousands": (
        text("a;default", *(f"1.{n:03}.000,5;{label}" for n, label in enumerate(LABELS))),
        "separators of thousands",
    ),
}  # fmt: skip


def draft(tmp_path: Path, path: Path) -> int:
    arguments = ["--model", "credit", "--target", "default", "--models-dir", str(tmp_path / "models")]
    return new.main([*arguments, "--data", str(path)])


def assert_sentence(printed: str, path: Path, expected: str) -> None:
    assert printed.startswith("error: ")
    assert printed.count("\n") == 1, printed
    assert str(path) in printed or re.search("classes|column", printed), printed
    assert re.search(expected, printed), printed


@pytest.fixture
def declaration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Declaration:
    """A model that was drafted from the good table."""
    path = tmp_path / "good.csv"
    path.write_text(GOOD, encoding="utf-8")
    assert draft(tmp_path / "good", path) == 0
    capsys.readouterr()
    return load_declaration(tmp_path / "good" / "models" / "credit")


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_not_drafted(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    content, expected = HOSTILE[name]
    path = tmp_path / "credit.csv"
    path.write_bytes(content)
    begin = time.monotonic()
    assert draft(tmp_path, path) == 1
    assert time.monotonic() - begin < SECONDS
    captured = capsys.readouterr()
    assert not captured.out
    assert_sentence(captured.err, path, expected)
    assert not list(tmp_path.rglob("model.toml"))
    assert not list(tmp_path.rglob(".new-*"))


def test_no_more_is_read_than_a_limit(tmp_path: Path, declaration: Declaration) -> None:
    path = tmp_path / "credit.csv"
    path.write_text(GOOD, encoding="utf-8")
    os.truncate(path, MOST_BYTES + 1)
    with pytest.raises(DataError, match=r"credit\.csv has more than 512 MiB, the most that is read"):
        read_table(path, declaration)


def test_no_more_is_unpacked_than_a_limit(
    tmp_path: Path, declaration: Declaration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.content.MOST_BYTES", 2**20)
    path = tmp_path / "credit.csv.gz"
    path.write_bytes(gzip.compress(GOOD.encode() + 2**20 * b"\n"))
    assert path.stat().st_size < 10_000
    with pytest.raises(DataError, match=r"credit\.csv\.gz has more than 1 MiB, the most that is read"):
        read_table(path, declaration)


def test_what_begins_with_nothing_is_rejected_by_its_beginning() -> None:
    content = bytes(16 * 1024 * 1024)
    tracemalloc.start()
    with pytest.raises(DataError, match="line 1 holds a NUL character"):
        guess_format(Path("credit.csv"), content, "default")
    assert tracemalloc.get_traced_memory()[1] < len(content) / 4
    tracemalloc.stop()


@pytest.mark.parametrize("line", ["sep=;\r\n", "\ufeffsep=;\n", '"sep=;"\n', "SEP=;\n"])
def test_a_line_that_names_the_separator_is_no_header(tmp_path: Path, line: str) -> None:
    path = tmp_path / "credit.csv"
    path.write_bytes((line + GOOD.replace(",", ";")).encode())
    assert draft(tmp_path, path) == 0
    drafted = load_declaration(tmp_path / "models" / "credit")
    assert (drafted.table.separator, drafted.feature_names) == (";", ["income"])
    rows, _ = read_table(path, drafted)
    frame = read_frame(path.read_bytes(), drafted.table)
    assert frame.columns.tolist() == HEADER.split(",")
    assert frame["income"].tolist() == [row["income"] for row in rows]


VALID = {"NUL in a cell", "one class", "five rows", "columns that are constant"}
"""Tables that can be read: the NUL stands in a column that the model does not use."""


@pytest.mark.parametrize("name", sorted(HOSTILE.keys() - VALID))
def test_a_hostile_file_is_no_training_data(tmp_path: Path, declaration: Declaration, name: str) -> None:
    path = tmp_path / "credit.csv"
    path.write_bytes(HOSTILE[name][0])
    begin = time.monotonic()
    with pytest.raises(DataError, match=f"^{re.escape(str(path))}"):
        read_table(path, declaration)
    assert time.monotonic() - begin < SECONDS


@pytest.mark.parametrize("name", sorted(VALID))
def test_a_table_is_read_though_no_draft_can_be_made_of_it(
    tmp_path: Path, declaration: Declaration, name: str
) -> None:
    path = tmp_path / "credit.csv"
    path.write_bytes(HOSTILE[name][0])
    rows, labels = read_table(path, declaration)
    assert len(rows) == len(labels) == (5 if name == "five rows" else 60)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (Path.exists, "cannot be read or written: No such file or directory"),
        (lambda path: path.mkdir(), "is not a regular file: give a CSV file"),
        (os.mkfifo, "is not a regular file: give a CSV file"),
        (lambda path: path.symlink_to("/dev/zero"), "is not a regular file: give a CSV file"),
    ],
    ids=["missing", "folder", "pipe", "device"],
)
def test_what_is_no_file_is_not_drafted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: Callable[[Path], object], sentence: str
) -> None:
    path = tmp_path / "credit.csv"
    make(path)
    assert draft(tmp_path, path) == 1
    assert_sentence(capsys.readouterr().err, path, sentence)
