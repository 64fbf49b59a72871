"""Reads a CSV file into rows as clients send them, and the label of each."""

import csv
from pathlib import Path

from bundle.declaration import CategoryFeature, Declaration, NumberFeature

Value = int | float | str | None
Rows = list[dict[str, Value]]


class DataError(Exception):
    """The data cannot be trained on; the message says what to do."""


def read_table(
    path: Path, declaration: Declaration, *, target: None = None, classes: None = None
) -> tuple[Rows, list[str]]:
    """Return the rows of a CSV file by feature name, and the label of each.

    A blank cell is a missing value. Recipes said `target` and `classes` before, which model.toml says now.
    """
    if (target, classes) != (None, None):
        raise DataError(
            "recipe.py passes target or classes to read_table: leave them out, and declare in model.toml the "
            "column (target) and what it holds of each class (target of the class)"
        )
    if declaration.target is None:
        raise DataError("model.toml does not say which column holds the class: declare it as target")
    with path.open(encoding="utf-8", newline="") as file:
        records = list(csv.DictReader(file))
    if not records:
        raise DataError(f"{path} has no rows")
    absent = {declaration.target, *(feature.column for feature in declaration.features)} - set(records[0])
    if absent:
        raise DataError(f"{path} lacks the column '{min(absent)}'")
    targets = declaration.targets
    try:
        labels = [targets[record[declaration.target]] for record in records]
    except KeyError:
        listed = " and ".join(targets)
        raise DataError(f"{path}: the column '{declaration.target}' may only hold {listed}") from None
    rows = [
        {feature.name: _value(feature, record[feature.column]) for feature in declaration.features}
        for record in records
    ]
    return rows, labels


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
