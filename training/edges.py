"""Finds rows on both sides of a jump, such as the split of a tree, where rounding shows."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bundle.declaration import Declaration
from bundle.encoding import Matrix
from bundle.features import NumberFeature
from training.metrics import Floats
from training.parts import parts

PAIRS = 300
"""Pairs of rows that are looked for; each is two rows that differ by one float32 in one number."""


OWN_ROUNDING = ("KNeighborsClassifier", "KNNImputer", "NuSVC", "SVC")
"""Steps that jump where distances are equal, or where libsvm stops, in their last digit.

So does an isotonic calibration, whose thresholds may be as near to each other.
"""


def edge_rows(
    model: Any, predict: Callable[[Matrix], Floats], declaration: Declaration, matrix: Matrix
) -> Matrix:
    """Return rows [rows, features] on both sides of jumps of the probabilities, or next to each other.

    Between two rows of the matrix that differ in one number, the interval with the jump is halved until its
    ends are neighbours in float32. Whole numbers have no neighbours that a client may send; and steps whose
    own rounding decides where they jump have no rows here.
    """
    numbers = [
        column
        for column, feature in enumerate(declaration.features)
        if isinstance(feature, NumberFeature) and feature.type == "number"
    ]
    if not numbers or any(map(_rounds, parts(model))):
        return matrix[:0]
    random = np.random.default_rng(1)
    rows = matrix[random.integers(len(matrix), size=PAIRS)]
    others = matrix[random.integers(len(matrix), size=PAIRS)]
    columns = np.resize(numbers, PAIRS)
    every = np.arange(PAIRS)
    both = np.stack([rows[every, columns], others[every, columns]])
    kept = np.isfinite(both).all(axis=0)
    rows, columns, ends = rows[kept], columns[kept], _keys(both[:, kept])
    return _halved(predict, rows, columns, ends) if len(rows) else matrix[:0]


def _rounds(part: Any) -> bool:
    return type(part).__name__ in OWN_ROUNDING or getattr(part, "method", None) == "isotonic"


def _halved(
    predict: Callable[[Matrix], Floats], rows: Matrix, columns: NDArray[np.int64], ends: NDArray[np.int64]
) -> Matrix:
    low, high = ends
    at_low, at_high = (predict(_with(rows, columns, end)) for end in (low, high))
    while (np.abs(high - low) > 1).any():
        middle = (low + high) // 2
        at_middle = predict(_with(rows, columns, middle))
        to_low, to_high = (np.abs(at_middle - end).max(axis=1) for end in (at_low, at_high))
        goes_on = np.abs(high - low) > 1
        rises, falls = goes_on & (to_low < to_high), goes_on & (to_low >= to_high)
        low, high = np.where(rises, middle, low), np.where(falls, middle, high)
        at_low = np.where(rises[:, None], at_middle, at_low)
        at_high = np.where(falls[:, None], at_middle, at_high)
    return np.concatenate([_with(rows, columns, low), _with(rows, columns, high)])


def _with(rows: Matrix, columns: NDArray[np.int64], keys: NDArray[np.int64]) -> Matrix:
    changed = rows.copy()
    changed[np.arange(len(rows)), columns] = _values(keys)
    return changed


def _keys(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return whole numbers in the order of float32 values, neighbours one apart."""
    bits = values.astype(np.float32).view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)


def _values(keys: NDArray[np.int64]) -> NDArray[np.float32]:
    bits = np.where(keys < 0, -keys | 0x80000000, keys).astype(np.uint32)
    return bits.view(np.float32)
