"""What is doubtful in a column: it knows the class, or some of its numbers mean that the value is missing."""

from collections import Counter
from collections.abc import Container, Sequence

import numpy as np
from sklearn.tree import DecisionTreeClassifier

from training.columns import Column
from training.sniff import MARKERS_AMONG_NUMBERS
from training.table import MOST_OF_A_CELL, read_number

FEWEST_ROWS, MOST_ROWS = 50, 10_000
SMALLEST_LEAF = 5
MOST_ERRORS = 0.02
"""Of the rows that are not of the most frequent class: with fewer errors a column alone knows the class."""

PLACEHOLDERS = {-1, -2, -8, -88} | {
    sign * nines for sign in (1, -1) for nines in (9, 99, 999, 9999, 99999, 999999)
}
FEWEST_PLACEHOLDERS = 3


def doubts(
    column: Column, cells: Sequence[str], labels: Sequence[str], decimal: str, missing: Container[str]
) -> str:
    """Return what to look at in a column that becomes a feature; an empty text if nothing."""
    if column.left_out:
        return ""
    number = column.kind != "category"
    values = [
        np.nan
        if not cell or cell in missing
        else read_number(cell, decimal)
        if number
        else column.codes.get(cell, -1)
        for cell in cells
    ]
    found = [
        column.doubt,
        read_as_missing(cells, missing),
        placeholder(values) if number else "",
        leak(values, labels),
    ]
    return "; ".join(filter(None, found))


def read_as_missing(cells: Sequence[str], missing: Container[str]) -> str:
    """Doubt words that are read as missing, although not every table means that by them."""
    counts = Counter(
        cell for cell in cells if cell in missing and cell and cell.lower() not in MARKERS_AMONG_NUMBERS
    )
    if not counts:
        return ""
    listed = ", ".join(f"'{cell[:MOST_OF_A_CELL]}' in {rows} rows" for cell, rows in sorted(counts.items()))
    return f"{listed} is read as missing: if it means something else, correct table.missing and the table"


def placeholder(values: Sequence[float]) -> str:
    """Doubt a repeated number such as -999 that lies further from all others than those from each other."""
    counts = Counter(value for value in values if not np.isnan(value))
    ordered = sorted(counts)
    if len(ordered) < 3:  # noqa: PLR2004 - the others need a span
        return ""
    for value, least, greatest in (
        (ordered[0], ordered[1], ordered[-1]),
        (ordered[-1], ordered[0], ordered[-2]),
    ):
        apart = min(abs(least - value), abs(greatest - value)) > greatest - least
        if apart and value in PLACEHOLDERS and counts[value] >= FEWEST_PLACEHOLDERS:
            return (
                f"{counts[value]} rows have {value:g}, far from all others: if it means missing, declare "
                f"nullable = true and missing_codes = [{value:g}]"
            )
    return ""


def leak(values: Sequence[float], labels: Sequence[str]) -> str:
    """Doubt a column by which alone a small tree knows the class of nearly every row."""
    step = max(1, len(labels) // MOST_ROWS)
    matrix, sample = np.array(values, dtype=np.float64)[::step, None], np.array(labels)[::step]
    if len(sample) < FEWEST_ROWS:
        return ""
    classes = Counter(sample.tolist())
    tree = DecisionTreeClassifier(
        min_samples_leaf=max(SMALLEST_LEAF, len(sample) // 100),
        max_leaf_nodes=30 + 2 * len(classes),
        random_state=0,
    )
    wrong = int((tree.fit(matrix, sample).predict(matrix) != sample).sum())
    if wrong > MOST_ERRORS * (len(sample) - max(classes.values())):
        return ""
    share = 1 - wrong / len(sample)
    return (
        f"it alone tells the class of {share:.1%} of rows: take it out if it is known only after the class is"
    )
