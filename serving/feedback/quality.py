"""How good a version is, by the outcomes that were told: figures with intervals, beside the card's.

Shares get Wilson's score interval (Wilson, "Probable inference", 1927), the Brier score that of a mean.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from bundle.declaration import Declaration
from bundle.manifest import Manifest
from serving.feedback.outcomes import FIFTHS, Cell

NORMAL_QUANTILES = {"0.95": 1.959964, "0.9999": 3.890592}
"""Certainty of an interval -> quantile. Dashboards show the one; alerts look again and again: the other."""


@dataclass(frozen=True)
class Estimate:
    """A metric, and its confidence interval by confidence level."""

    value: float
    intervals: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class CalibrationFifth:
    """Outcomes with a score in one fifth: the mean score, and how often it came true."""

    score: float
    share: Estimate


@dataclass(frozen=True)
class Quality:
    """What outcomes say of one version; `outcomes` counts them by predicted and true class."""

    outcomes: dict[tuple[str, str], int]
    figures: dict[str, Estimate]
    calibration: dict[int, CalibrationFifth]


def share(part: int, whole: int) -> Estimate:
    """Return part / whole with Wilson's intervals; `whole` is not 0."""
    intervals = {}
    for confidence_level, z in NORMAL_QUANTILES.items():
        centre = (part + z * z / 2) / (whole + z * z)
        reach = z / (whole + z * z) * math.sqrt(part * (whole - part) / whole + z * z / 4)
        # where all or none are, rounding would leave the estimate outside
        low, high = min(centre - reach, part / whole), max(centre + reach, part / whole)
        intervals[confidence_level] = (max(low, 0.0), min(high, 1.0))
    return Estimate(part / whole, intervals)


def mean(total: float, squares: float, rows: int) -> Estimate:
    """Return total / rows, with intervals from the sum of squares."""
    value = total / rows
    variance = max(squares / rows - value * value, 0.0) * rows / max(rows - 1, 1)
    error = math.sqrt(variance / rows)
    intervals = {name: (value - z * error, value + z * error) for name, z in NORMAL_QUANTILES.items()}
    return Estimate(value, intervals)


def assess(declaration: Declaration, cells: Iterable[Cell]) -> Quality:
    """Return the quality of the version whose cells these are; without any there are no figures.

    Outcomes of classes that the model no longer has are left out.
    """
    labels = declaration.labels
    cells = [cell for cell in cells if {cell.predicted, cell.outcome} <= set(labels)]
    outcomes = {(predicted, true): 0 for predicted in labels for true in labels}
    for cell in cells:
        outcomes[cell.predicted, cell.outcome] += cell.rows
    rows = sum(outcomes.values())
    figures = {}
    if rows:
        figures["accuracy"] = share(sum(outcomes[label, label] for label in labels), rows)
        squared = sum(it.squared_error for it in cells), sum(it.squared_error_squared for it in cells)
        figures["brier"] = mean(*squared, rows)
    if declaration.binary:
        for name, label in zip(("specificity", "sensitivity"), labels, strict=True):
            if its := sum(outcomes[predicted, label] for predicted in labels):
                figures[name] = share(outcomes[label, label], its)
    calibration = {}
    for fifth in range(FIFTHS):
        inside = [cell for cell in cells if cell.fifth == fifth]
        if number := sum(cell.rows for cell in inside):
            came_true = sum(cell.rows for cell in inside if _came_true(declaration, cell))
            score = sum(cell.score for cell in inside) / number
            calibration[fifth] = CalibrationFifth(score, share(came_true, number))
    return Quality(outcomes, figures, calibration)


def _came_true(declaration: Declaration, cell: Cell) -> bool:
    """Tell whether what the score is the probability of was the case."""
    return cell.outcome == (declaration.labels[1] if declaration.binary else cell.predicted)


def expected(manifest: Manifest, *, threshold: float | None) -> dict[str, float]:
    """Return the card's metrics, without those of the declared threshold if another one is served."""
    metrics = manifest.evaluation.metrics
    found = {"brier": metrics["brier"].value}
    if threshold != manifest.threshold:
        return found
    found["accuracy"] = metrics["accuracy"].value
    for name, error in (("sensitivity", "false_negative_rate"), ("specificity", "false_positive_rate")):
        if error in metrics:
            found[name] = 1 - metrics[error].value
    return found
