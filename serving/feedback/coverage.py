"""Of which predictions outcomes are reported: where their share differs by class, they are no fair sample."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from serving.feedback.intervals import NORMAL_QUANTILES, REFERENCE, Estimate, wilson
from serving.feedback.outcomes import Cell


@dataclass(frozen=True)
class Coverage:
    """Predictions of one class in the window, and the share of them that has an outcome."""

    predictions: int
    share: Estimate


def coverage(predictions: Mapping[str, int], cells: Iterable[Cell]) -> dict[str, Coverage]:
    """Return the coverage of each predicted class, by predictions that were counted.

    Outcomes of an earlier release know no origin; nobody counted their predictions, so they are left out.
    """
    reported: dict[str, int] = {}
    for cell in cells:
        if cell.origin is not None:
            reported[cell.predicted] = reported.get(cell.predicted, 0) + cell.rows
    return {label: of_class(rows, reported.get(label, 0)) for label, rows in predictions.items() if rows}


def of_class(predictions: int, reported: int) -> Coverage:
    # a replica's predictions are counted some seconds after their outcomes may have come
    reported = min(reported, predictions)
    interval = wilson(reported, predictions, NORMAL_QUANTILES[REFERENCE])
    return Coverage(predictions, Estimate(reported / predictions, {REFERENCE: interval}))


def is_selective(classes: Mapping[str, Coverage]) -> bool:
    """Return whether two classes have shares that differ by more than chance."""
    intervals = [covered.share.intervals[REFERENCE] for covered in classes.values()]
    return bool(intervals) and max(low for low, _ in intervals) > min(high for _, high in intervals)
