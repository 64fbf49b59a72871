"""The gate of a retraining: a candidate passes, or fails with a reason."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from sklearn.pipeline import Pipeline

from bundle.declaration import Declaration
from bundle.encoding import Matrix
from bundle.evaluation import Evaluation, MetricEstimate
from bundle.manifest import FewRows
from training.compare import (
    LOWER_IS_BETTER,
    Difference,
    compared_metrics,
    interval,
)
from training.data import TrainingData
from training.evaluation import group_members
from training.metrics import Floats, calibration, false_negative_rate
from training.predictions import Predictions

LEAST_ROWS = 25
"""Least rows of the rarest class: with fewer, a candidate could lose a fifth of them unseen.

The interval of a difference excludes 0 once 5 rows of a class are lost, whatever their number: a resample
holds none of them with probability e^-5 = 0.7 %, and the interval leaves out 0.8 % on each side. (Hanley and
Lippman-Hand, "If nothing goes wrong, is everything all right?", JAMA 249, 1983.)
"""

MOST_DUPLICATES = 0.05
"""Largest share of rows that repeat an earlier one: a row both trained and tested on flatters a model."""

LEAST_POSITIVES = 10
"""Groups with fewer positive rows are not compared by their false negative rate."""

DIRECTION_ROWS = 200
"""Most rows on which directions are checked."""


class GateError(Exception):
    """The candidate fails; the message is the reason."""


@dataclass(frozen=True)
class Comparison:
    """The predictions of the served version and of the candidate for the rows of a matrix."""

    matrix: Matrix
    served: Predictions
    candidate: Predictions


def check_rows(declaration: Declaration, data: TrainingData, *, allow_few: bool = False) -> FewRows | None:
    """Fail on too few rows to judge by, unless they are allowed and returned, or on too many duplicates."""
    counts = np.bincount(data.labels, minlength=len(declaration.classes))
    rarest = int(counts.argmin())
    few = None
    if counts[rarest] < LEAST_ROWS:
        few = FewRows(label=declaration.labels[rarest], rows=int(counts[rarest]), needed=LEAST_ROWS)
        if not allow_few:
            raise GateError(
                f"too few rows: {few.rows} of '{few.label}' where {LEAST_ROWS} are needed to see a fifth of "
                "them lost; FEW_ROWS=yes (--allow-few-rows) lets them pass, and the card says so"
            )
    duplicates = 1 - len(set(row_keys(data))) / len(data.rows)
    if duplicates > MOST_DUPLICATES:
        raise GateError(
            f"duplicated rows: {duplicates:.0%} repeat an earlier row, at most {MOST_DUPLICATES:.0%} may"
        )
    return few


def row_keys(data: TrainingData) -> list[bytes]:
    """Return a key of each row: its values and its class."""
    return [row.tobytes() + bytes([label]) for row, label in zip(data.matrix, data.labels, strict=True)]


def check_labels(direct: Predictions, served: str) -> None:
    """Fail on labels that the served version predicts worse than chance would."""
    declaration = direct.declaration
    name, chance = ("auc", 0.5) if declaration.binary else ("accuracy", 1 / len(declaration.classes))
    values = compared_metrics(direct)[name]
    if np.nanpercentile(values[1:], 97.5) < chance:
        raise GateError(
            f"labels look inverted: {served} has {name} {values[0]:.2f} on them, chance {chance:.2f}"
        )


def check_differences(differences: list[Difference], served: str) -> None:
    """Fail if the candidate is worse than the served version, beyond noise."""
    for difference in differences:
        if difference.worse:
            raise GateError(
                f"worse beyond noise: {difference.metric} {difference.second:.4f} where {served} has "
                f"{difference.first:.4f} ({difference.lower:+.4f} to {difference.upper:+.4f})"
            )


def check_card(candidate: Predictions, evaluation: Evaluation, served: str) -> None:
    """Fail if the candidate is worse than the served version's card says of that one, beyond noise."""
    for name, values in compared_metrics(candidate).items():
        card = evaluation.metrics.get(name)
        if card is not None and _is_worse(name, values, card):
            raise GateError(
                f"worse than the card beyond noise: {name} {values[0]:.4f} on these rows, where {served} had "
                f"{card.value:.4f} on its own; are columns mixed up, or labels of another kind?"
            )


def _is_worse(name: str, values: Floats, card: MetricEstimate) -> bool:
    lower, upper = np.nanpercentile(values[1:], [2.5, 97.5])
    noise = np.hypot((upper - lower) / 2, (card.upper - card.lower) / 2)
    loss = values[0] - card.value if name in LOWER_IS_BETTER else card.value - values[0]
    return bool(loss > noise)


def check_calibration(comparison: Comparison) -> None:
    """Fail if the candidate is worse calibrated than the served version, beyond noise."""
    served, candidate = comparison.served.mean(calibration), comparison.candidate.mean(calibration)
    for index, (name, ideal) in enumerate((("intercept", 0), ("slope", 1))):
        increase = np.abs(candidate[index] - ideal) - np.abs(served[index] - ideal)
        if interval(increase, 2)[0] > 0:
            raise GateError(
                f"calibration degrades: {name} {candidate[index][0]:.2f}, where the served version has "
                f"{served[index][0]:.2f} and {ideal} is ideal"
            )


def check_groups(comparison: Comparison) -> None:
    """Fail if the candidate's false negative rate is higher in a declared group, beyond noise."""
    labels = comparison.candidate.labels
    groups = [
        (f"{feature}: {group}", member)
        for feature, group, member in group_members(comparison.candidate.declaration, comparison.matrix)
        if labels[member].sum() >= LEAST_POSITIVES
    ]
    for name, member in groups:
        served = comparison.served.select(member).mean(false_negative_rate)
        candidate = comparison.candidate.select(member).mean(false_negative_rate)
        if interval(candidate - served, len(groups))[0] > 0:
            raise GateError(
                f"higher false negative rate in a group: {candidate[0]:.0%} of {name}, where the served "
                f"version has {served[0]:.0%}"
            )


def check_directions(declaration: Declaration, pipeline: Pipeline, matrix: Matrix) -> None:
    """Fail if the mean probability does not rise along values that the declaration calls rising."""
    rows = matrix[:: max(1, len(matrix) // DIRECTION_ROWS)]
    for column, feature in enumerate(declaration.features):
        for values in feature.rising:
            encoded = [feature.encode(value) for value in values]
            means = [_mean_probability(pipeline, rows, column, value) for value in encoded]
            for (low, high), (before, after) in zip(pairwise(values), pairwise(means), strict=True):
                if after <= before:
                    raise GateError(
                        f"a direction is wrong: '{declaration.labels[1]}' becomes no likelier from {low} "
                        f"to {high} of {feature.name} ({before:.3f} to {after:.3f})"
                    )


def _mean_probability(pipeline: Pipeline, rows: Matrix, column: int, value: float) -> float:
    """Return the mean probability of the positive class if all rows had a value in a column."""
    changed = rows.copy()
    changed[:, column] = value
    return float(pipeline.predict_proba(changed)[:, 1].mean())
