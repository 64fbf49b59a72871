"""How good a version is by the reported outcomes: metrics with confidence intervals.

Proportions get Wilson's score interval (Wilson, "Probable inference", 1927), the Brier score that of a mean.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from bundle.declaration import Declaration
from bundle.manifest import Manifest
from serving.feedback.outcomes import SCORE_BINS, Cell

NORMAL_QUANTILES = {"0.95": 1.959964, "0.9999": 3.890592}
"""Confidence level -> quantile. Dashboards show 0.95; alerts, which test often, use 0.9999."""


@dataclass(frozen=True)
class Estimate:
    """A metric, and its confidence interval by confidence level."""

    value: float
    intervals: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class CalibrationBin:
    """Outcomes in one score bin: the mean score, and the observed frequency."""

    score: float
    observed: Estimate


@dataclass(frozen=True)
class Quality:
    """Quality of one version: outcomes by predicted and true class, metrics, calibration by score bin."""

    outcomes: dict[tuple[str, str], int]
    metrics: dict[str, Estimate]
    calibration: dict[int, CalibrationBin]


def proportion(part: int, whole: int) -> Estimate:
    """Return part / whole with Wilson's intervals; `whole` is not 0."""
    intervals = {}
    for confidence_level, z in NORMAL_QUANTILES.items():
        centre = (part + z * z / 2) / (whole + z * z)
        half_width = z / (whole + z * z) * math.sqrt(part * (whole - part) / whole + z * z / 4)
        # at 0 and 1, rounding would leave the estimate outside
        lower, upper = min(centre - half_width, part / whole), max(centre + half_width, part / whole)
        intervals[confidence_level] = (max(lower, 0.0), min(upper, 1.0))
    return Estimate(part / whole, intervals)


def mean(total: float, squares: float, rows: int) -> Estimate:
    """Return total / rows, with intervals from the sum of squares."""
    value = total / rows
    variance = max(squares / rows - value * value, 0.0) * rows / max(rows - 1, 1)
    error = math.sqrt(variance / rows)
    intervals = {name: (value - z * error, value + z * error) for name, z in NORMAL_QUANTILES.items()}
    return Estimate(value, intervals)


def assess(declaration: Declaration, cells: Iterable[Cell]) -> Quality:
    """Return the quality of the version whose cells these are; without any there are no metrics.

    Outcomes of classes that the model no longer has are left out.
    """
    labels = declaration.labels
    cells = [cell for cell in cells if {cell.predicted, cell.outcome} <= set(labels)]
    outcomes = {(predicted, true): 0 for predicted in labels for true in labels}
    for cell in cells:
        outcomes[cell.predicted, cell.outcome] += cell.rows
    rows = sum(outcomes.values())
    metrics = {}
    if rows:
        metrics["accuracy"] = proportion(sum(outcomes[label, label] for label in labels), rows)
        squared = sum(cell.squared_error for cell in cells), sum(cell.squared_error_squared for cell in cells)
        metrics["brier"] = mean(*squared, rows)
    if declaration.binary:
        for name, label in zip(("specificity", "sensitivity"), labels, strict=True):
            if positives := sum(outcomes[predicted, label] for predicted in labels):
                metrics[name] = proportion(outcomes[label, label], positives)
    calibration = {}
    for score_bin in range(SCORE_BINS):
        inside = [cell for cell in cells if cell.score_bin == score_bin]
        if number := sum(cell.rows for cell in inside):
            events = sum(cell.rows for cell in inside if _is_event(declaration, cell))
            score = sum(cell.score for cell in inside) / number
            calibration[score_bin] = CalibrationBin(score, proportion(events, number))
    return Quality(outcomes, metrics, calibration)


def _is_event(declaration: Declaration, cell: Cell) -> bool:
    """Return whether the class whose probability the score is was the true one."""
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
