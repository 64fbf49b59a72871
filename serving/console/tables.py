"""Tables of rows: read from CSV as people paste it, and written so that a spreadsheet runs nothing of it."""

import csv
import io
from collections.abc import Iterable, Sequence

from bundle.declaration import Declaration, TableFormat
from bundle.features import CategoryFeature, Feature, NumberFeature, Value
from bundle.spelling import parse_number
from serving.errors import ValidationError

SEPARATORS = (",", ";", "\t")
EMPTY = ' "\r' + "".join(SEPARATORS)
"""What a line of empty cells is made of."""

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a cell begins with that a spreadsheet may run."""


def read_table(text: str, declaration: Declaration) -> list[dict[str, Value]]:
    """Return the rows below a header; ValidationError says where a line does not fit it.

    The header has the names of features, or those of their columns in the training table.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")  # browsers post each end of a line as two
    lines = read_cells(text, declaration)
    if not lines:
        raise ValidationError("There is no table; paste one whose first line names the features.")
    header, *rows = lines
    header = feature_names(header, declaration)
    if "" in header:
        raise ValidationError(f"Column {header.index('') + 1} of the table has no name; name or remove it.")
    if len(set(header)) < len(header):
        raise ValidationError("Two columns of the table have the same name; remove one.")
    features = {feature.name: feature for feature in declaration.features}
    table = declaration.table
    for number, cells in enumerate(rows):
        if len(cells) != len(header):
            raise ValidationError(
                f"Row {number} has {len(cells)} cells, and the header has {len(header)}; rows count from 0."
            )
    return [
        {name: read_cell(features.get(name), cell, table) for name, cell in zip(header, cells, strict=True)}
        for cells in rows
    ]


def feature_names(header: Sequence[str], declaration: Declaration) -> list[str]:
    """Return a header in which a column of the training table has its feature's name; others stay."""
    names = {feature.column: feature.name for feature in declaration.features}
    names |= {name: name for name in declaration.feature_names}
    return [names.get(name, name) for name in header]


def read_cells(text: str, declaration: Declaration) -> list[list[str]]:
    """Return the cells of all lines that are not blank, by the separator that gives most features.

    A line of empty cells is a row. At the end of a table spreadsheets leave some, so there it is none,
    unless a row may have no value at all.
    """
    first = next((line for line in text.split("\n") if line.strip(EMPTY)), "")
    names = {name for feature in declaration.features for name in (feature.name, feature.column)}
    separator = max(SEPARATORS, key=lambda s: len(names & {c.strip(' "\r') for c in first.split(s)}))
    try:
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        cells = [[cell.strip() for cell in line] for line in lines]
    except csv.Error as error:
        raise ValidationError(f"The table is not CSV: {error}.") from None
    while cells and not any(cells[0]):
        cells.pop(0)
    while cells and not any(cells[-1]) and not all(feature.nullable for feature in declaration.features):
        cells.pop()
    return [line for line in cells if len(line) > 1 or any(line)]


def read_cell(feature: Feature | None, cell: str, table: TableFormat) -> Value:
    """Return the value in a cell: empty is missing, a category's name stays, a number is read.

    What is missing in the training table is so here, and a comma is a decimal sign if it is one there.
    """
    spelled = feature.spelled(cell) if isinstance(feature, CategoryFeature) else None
    if isinstance(feature, CategoryFeature) and cell in feature.codes:
        return spelled
    if not cell or cell in table.missing:
        return None
    if spelled is not None:
        return spelled
    if isinstance(feature, NumberFeature) and table.decimal == "," and "." not in cell:
        cell = cell.replace(",", ".")
    try:
        return parse_number(cell)
    except ValueError:
        return cell


def write_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return CSV; a cell that a spreadsheet could run as a formula begins with an apostrophe."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([harmless(name) for name in header])
    writer.writerows([harmless(cell) for cell in row] for row in rows)
    return text.getvalue()


def rewritten(text: str) -> str:
    """Return a CSV with harmless cells, whatever it had."""
    try:
        header, *rows = csv.reader(io.StringIO(text, newline=""))
    except (csv.Error, ValueError):
        raise ValidationError("There is no table to download; predict its rows again.") from None
    return write_table(header, rows)


def harmless(cell: object) -> str:
    """Return the text of a cell; numbers stay as they are, negative ones included."""
    text = "" if cell is None else str(cell)
    if not text.startswith(FORMULA):
        return text
    try:
        parse_number(text)
    except ValueError:
        return f"'{text}"
    return text
