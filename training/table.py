"""Reads a CSV file into rows as clients send them."""

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bundle.declaration import CategoryFeature, Declaration, NumberFeature

Value = int | float | str | None
Rows = list[dict[str, Value]]


class DataError(Exception):
    """The data cannot be trained on; the message says what to do."""


def read_table(
    path: Path,
    declaration: Declaration,
    target: str,
    classes: list[str],
) -> tuple[Rows, NDArray[np.int64]]:
    """Return the rows of a CSV file by feature name, and the class index [rows] of each.

    A blank cell is a missing value. `classes` are the values of the column `target` in class order.
    """
    with path.open(encoding="utf-8", newline="") as file:
        records = list(csv.DictReader(file))
    if not records:
        raise DataError(f"{path} has no rows")
    absent = {target, *(feature.column for feature in declaration.features)} - set(records[0])
    if absent:
        raise DataError(f"{path} lacks the column '{min(absent)}'")
    try:
        labels = [classes.index(record[target]) for record in records]
    except ValueError:
        raise DataError(f"{path}: the column '{target}' may only hold {' and '.join(classes)}") from None
    rows = [
        {feature.name: _value(feature, record[feature.column]) for feature in declaration.features}
        for record in records
    ]
    return rows, np.array(labels, dtype=np.int64)


def _value(feature: NumberFeature | CategoryFeature, cell: str) -> Value:
    if not cell.strip():
        return None
    if isinstance(feature, CategoryFeature) and cell in feature.codes:
        return cell
    try:
        number = float(cell)
    except ValueError:
        raise DataError(f"a cell of the column '{feature.column}' is not {feature.expectation}") from None
    return int(number) if number.is_integer() else number
