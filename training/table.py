"""Reads a CSV file into rows as clients send them, and the label of each."""

import codecs
import csv
from collections.abc import Iterator
from pathlib import Path

from bundle.declaration import Declaration, TableFormat
from bundle.features import CategoryFeature, NumberFeature
from bundle.spelling import BLANKS, parse_number

Value = int | float | str | None
Rows = list[dict[str, Value]]


class DataError(Exception):
    """The data cannot be used for training; the message says what to do."""


def read_table(
    path: Path, declaration: Declaration, *, target: None = None, classes: None = None
) -> tuple[Rows, list[str]]:
    """Return the rows of a CSV file by feature name, and the label of each.

    The file is written as [table] of the declaration says; a blank cell is a missing value.
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


def _read_rows(path: Path, declaration: Declaration) -> tuple[Rows, list[str]]:
    if declaration.target is None:
        raise DataError("model.toml does not declare the column that holds the class: add target")
    targets, features = declaration.targets, declaration.features
    rows: Rows = []
    labels: list[str] = []
    columns = [declaration.target, *(feature.column for feature in features)]
    table = declaration.table
    for place, cells in _records(path, columns, table):
        cell, *others = cells
        if cell not in targets:
            listed = " and ".join(targets)
            raise DataError(f"{place}: the column '{declaration.target}' may only hold {listed}")
        labels.append(targets[cell])
        values = zip(features, others, strict=True)
        rows.append({feature.name: _value(place, feature, other, table) for feature, other in values})
    return rows, labels


def _records(path: Path, columns: list[str], table: TableFormat) -> Iterator[tuple[str, list[str]]]:
    """Yield the place of each row ("rows.csv, line 7"), and its cells of the columns, trimmed."""
    encoding = "utf-8-sig" if codecs.lookup(table.encoding).name == "utf-8" else table.encoding
    with path.open(encoding=encoding, newline="") as file:
        reader = csv.reader(file, strict=True, delimiter=table.separator)
        lines = (cells for cells in reader if cells)
        try:
            header = [name.strip(BLANKS) for name in next(lines, [])]
            indexes = [_index(path, header, column) for column in columns] if header else []
            for cells in lines:
                place = f"{path}, line {reader.line_num}"
                if len(cells) != len(header):
                    raise DataError(f"{place} has {len(cells)} cells where the header has {len(header)}")
                yield place, [cells[index].strip(BLANKS) for index in indexes]
        except csv.Error as error:
            raise DataError(f"{path} cannot be read as CSV near line {reader.line_num}: {error}") from None
        except UnicodeDecodeError:
            encoding = table.encoding.upper()
            raise DataError(
                f"{path} is not text in {encoding}: save it as {encoding}, or declare its encoding in [table]"
            ) from None


def _index(path: Path, header: list[str], column: str) -> int:
    if column not in header:
        raise DataError(f"{path} lacks the column '{column}'")
    if header.count(column) > 1:
        raise DataError(f"{path} has the column '{column}' twice")
    return header.index(column)


def _value(place: str, feature: NumberFeature | CategoryFeature, cell: str, table: TableFormat) -> Value:
    try:
        value = _read(feature, cell, table)
        feature.encode(value)
    except ValueError as error:
        if not cell:
            raise DataError(
                f"{place}: the cell of '{feature.column}' is empty: fill it in, or declare "
                f"{feature.name} as nullable"
            ) from None
        said = str(error)  # of the encoder: what must be
        expected = said.removeprefix("must be ") if said.startswith("must be ") else feature.expectation
        expected = expected.replace(", or null", ", or an empty cell")  # which JSON has instead
        raise DataError(f"{place}: the cell of '{feature.column}' is not {expected}") from None
    return value


def _read(feature: NumberFeature | CategoryFeature, cell: str, table: TableFormat) -> Value:
    if not cell or cell in table.missing:
        return None
    if isinstance(feature, CategoryFeature) and cell in feature.codes:
        return cell
    if table.decimal != ".":  # then a point may separate thousands, or be a mistake: neither is guessed
        cell = cell.translate(str.maketrans(f"{table.decimal}.", f".{table.decimal}"))
    return parse_number(cell)
