"""Reads a table into rows as clients send them, and the label of each."""

import codecs
import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

from bundle.declaration import Declaration, TableFormat
from bundle.errors import printable
from bundle.features import CategoryFeature, NumberFeature
from bundle.spelling import BLANKS, DECIMAL, parse_number
from training.content import DataError as DataError  # noqa: PLC0414 - most need it beside the rows
from training.content import format_of, read_content
from training.memory import check_memory
from training.read_rows import Column, ReadRows, Value
from training.read_rows import Rows as Rows  # noqa: PLC0414 - recipes name them so

SEPARATOR_LINE = re.compile(r'\ufeff?"?sep=(.)"?\r?(\n|$)', re.IGNORECASE)
"""The first line by which Excel names the separator: `sep=;`."""

UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
NEWLINE = b"\n"
MOST_LISTED = 20
MOST_CHARACTERS = 60
MOST_OF_A_CELL = 40
MOST_REMEMBERED = 5_000
HEAD_CHARACTERS = 64
CHARACTERS = 2**20


class CellError(DataError):
    """A cell of a table is not what its column needs; `shown` has its text, for the terminal alone.

    A text with a digit may be a patient's number, and stays out; logs have no cell at all.
    """

    def __init__(self, sentence: str, cell: str) -> None:
        super().__init__(sentence)
        plain = cell and not any(character.isdigit() for character in cell)
        self.shown = f": it is '{printable(cell[:MOST_OF_A_CELL])}'" if plain else ""


def read_table(
    path: Path, declaration: Declaration, *, target: None = None, classes: None = None
) -> tuple[ReadRows, list[str]]:
    """Return the rows of a CSV or Parquet file by feature name, and the label of each.

    CSV is written as [table] of the declaration says; a blank cell is a missing value.
    Old recipes pass `target` and `classes`, which are in model.toml now.
    """
    if (target, classes) != (None, None):
        raise DataError(
            "recipe.py passes target or classes to read_table: leave them out, and declare in model.toml the "
            "column (target) and its value for each class (target of the class)"
        )
    rows, labels = _read_rows(path, declaration)
    if not rows:
        raise DataError(f"{path} has no rows")
    return rows, labels


def records(path: Path, content: bytes, table: TableFormat) -> Iterator[tuple[str, list[str]]]:
    """Yield the header and each row: the place where it begins ("rows.csv, line 7"), and its cells, trimmed.

    Blank lines are skipped; DataError for a row with more or fewer cells than the header.
    """
    _check_decodes(path, content, table.encoding)
    named = SEPARATOR_LINE.match(_decoded(content, table.encoding).read(HEAD_CHARACTERS))
    first = 1 if named is None else 2
    text = _decoded(content, table.encoding)
    text.read(named.end() if named else 0)
    reader = csv.reader(text, strict=True, delimiter=table.separator)
    width, begin = 0, first
    try:
        for cells in reader:
            place, begin = f"{path}, line {begin}", reader.line_num + first
            if width and cells and len(cells) != width:
                raise DataError(f"{place} has {len(cells)} cells where the header has {width}")
            if cells:
                width = len(cells)
                yield place, [cell.strip(BLANKS) for cell in cells]
    except csv.Error as error:
        near = f"near line {reader.line_num + first - 1}: {error}"
        row = f"the row that begins on line {begin}"
        raise DataError(
            f"{path} cannot be read as CSV {near}: look for a quote that is not closed, or a cell that is "
            f"too long, in {row}"
        ) from None


def column_index(path: Path, header: list[str], column: str) -> int:
    """Return the index of a column; DataError, which lists the columns, unless there is exactly one."""
    if column not in header:
        raise DataError(f"{path} lacks the column '{column}': {_found(header)}")
    if header.count(column) > 1:
        raise DataError(f"{path} has the column '{column}' twice")
    return header.index(column)


def read_number(cell: str, decimal: str) -> int | float:
    """Return the number in a cell without blanks; ValueError unless it is written as a decimal."""
    if decimal != ".":  # then a point may separate thousands, or be a mistake: neither is guessed
        cell = cell.translate(str.maketrans(f"{decimal}.", f".{decimal}"))
    return parse_number(cell)


def _read_rows(path: Path, declaration: Declaration) -> tuple[ReadRows, list[str]]:
    if declaration.target is None:
        raise DataError("model.toml does not declare the column that holds the class: add target")
    targets, features, table = declaration.targets, declaration.features, format_of(path, declaration.table)
    labels: list[str] = []
    content = read_content(path)
    check_memory(path, content.count(NEWLINE), len(features))
    readers = [_Reader(feature, table) for feature in features]
    lines = records(path, content, table)
    _, header = next(lines, ("", []))
    columns = [declaration.target, *(feature.column for feature in features)]
    indexes = [column_index(path, header, column) for column in columns] if header else []
    for place, cells in lines:
        cell, *others = (cells[index] for index in indexes)
        if cell not in targets:
            listed = " and ".join(targets)
            raise CellError(f"{place}: the column '{declaration.target}' may only hold {listed}", cell)
        labels.append(targets[cell])
        for reader, other in zip(readers, others, strict=True):
            reader.read(place, other)
    return ReadRows.of(declaration, [reader.column for reader in readers]), labels


def _decoded(content: bytes, declared: str) -> io.TextIOWrapper:
    """Return the text of a table, which is decoded as it is read."""
    return io.TextIOWrapper(io.BytesIO(content), _codec(declared), newline="")


def _codec(declared: str) -> str:
    return "utf-8-sig" if codecs.lookup(declared).name == "utf-8" else declared


def _check_decodes(path: Path, content: bytes, declared: str) -> None:
    """DataError with the first line that cannot be decoded."""
    text = _decoded(content, declared)
    try:
        while text.read(CHARACTERS):
            pass
    except UnicodeError:
        raise _undecodable(path, content, declared) from None


def _undecodable(path: Path, content: bytes, declared: str) -> DataError:
    valid = b""
    try:
        content.decode(_codec(declared))
    except UnicodeDecodeError as error:
        valid = content[: error.start]
    except UnicodeError:
        pass
    name = declared.upper()
    hint = ' (encoding = "utf-16")' if content.startswith(UTF_16_MARKS) else ""
    return DataError(
        f"{path} is not text in {name}: save it as {name}, or declare its encoding in [table]{hint}; "
        f"line {valid.count(NEWLINE) + 1} is the first that cannot be read"
    )


def _found(header: list[str]) -> str:
    """List the columns of a table, unless its first line may be a row or a comment."""
    if header[0].startswith("#"):
        return "its first line begins with #: if it is a comment, remove it: the names of columns come first"
    if 2 * sum(DECIMAL.fullmatch(name) is not None for name in header) >= len(header):
        return "its first line looks like a row: add a line with the names of the columns"
    listed = ", ".join(f"'{name[:MOST_CHARACTERS]}'" for name in header[:MOST_LISTED])
    more = f" and {len(header) - MOST_LISTED} more" if len(header) > MOST_LISTED else ""
    other = ": does [table] name the separator?" if len(header) == 1 else ""
    return f"it has {listed}{more}{other}"


class _Reader:
    """Reads the cells of a feature into a column; what a text means is remembered for a while."""

    def __init__(self, feature: NumberFeature | CategoryFeature, table: TableFormat) -> None:
        self._feature, self._table = feature, table
        self._known: dict[str, tuple[Value, float]] = {}
        self.column = Column()

    def read(self, place: str, cell: str) -> None:
        """Append the value of a cell; DataError says where it cannot be read."""
        known = self._known.get(cell)
        if known is None:
            known = _value(place, self._feature, cell, self._table)
            if len(self._known) < MOST_REMEMBERED:
                self._known[cell] = known
        self.column.append(*known)


def _value(
    place: str, feature: NumberFeature | CategoryFeature, cell: str, table: TableFormat
) -> tuple[Value, float]:
    """Return the value of a cell, and its code in the matrix."""
    try:
        value = _read(feature, cell, table)
        encoded = feature.encode(value)
    except ValueError as error:
        if not cell:
            raise DataError(
                f"{place}: the cell of '{feature.column}' is empty: fill it in, or declare "
                f"{feature.name} as nullable"
            ) from None
        said = str(error)  # of the encoder: what must be
        expected = said.removeprefix("must be ") if said.startswith("must be ") else feature.expectation
        expected = expected.replace(", or null", ", or an empty cell")  # which JSON has instead
        raise CellError(f"{place}: the cell of '{feature.column}' is not {expected}", cell) from None
    return value, encoded


def _read(feature: NumberFeature | CategoryFeature, cell: str, table: TableFormat) -> Value:
    if not cell or cell in table.missing:
        return None
    if isinstance(feature, CategoryFeature) and (spelled := feature.spelled(cell)) is not None:
        return spelled
    return read_number(cell, table.decimal)
