"""How good a version is by the reported outcomes: metrics with confidence intervals."""

from collections.abc import Iterable
from dataclasses import dataclass

from bundle.declaration import Declaration
from serving.feedback.intervals import Estimate, mean, proportion
from serving.feedback.outcomes import SCORE_BINS, Cell

LEAST_OUTCOMES = 50
"""Below this number metrics are not compared with earlier ones; the rules say the same of the card."""


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

    @property
    def rows(self) -> int:
        return sum(self.outcomes.values())


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
