"""The gate of a retraining: a candidate passes, or fails with a reason."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.pipeline import Pipeline

from bundle.declaration import Declaration
from bundle.encoding import Matrix
from bundle.evaluation import Evaluation
from bundle.manifest import FewRows
from training.compare import (
    LOWER_IS_BETTER,
    Difference,
    compared_metrics,
    deviation,
)
from training.data import TrainingData
from training.evaluation import group_members
from training.evidence import Evidence, beyond_chance, largest_by_chance
from training.metrics import Floats, calibration, false_negative_rate
from training.noise import Half, spread
from training.predictions import Predictions

Mask = NDArray[np.bool_]

CARD_ERROR_RATE = 0.0125
"""Share of honest retrainings in which some metric may be worse than the card by chance."""

ERROR_RATE = 0.0025
"""The same for all comparisons with the served version together, and for all of rows, columns and groups."""

SEEN_LOSS = 0.2
"""Share of a class that must not be lost unseen."""

MOST_DUPLICATES = 0.05
"""Largest share of rows that repeat an earlier one: a row both trained and tested on flatters a model."""

LEAST_POSITIVES = 10
"""Groups with fewer positive rows are not compared by their false negative rate."""

FLAT = 0.001
"""Largest fall of a mean probability that counts as flat."""

TINY = 1e-12
"""In place of a standard error of nothing."""

DIRECTION_ROWS = 200
"""Most rows on which directions are checked."""


class GateError(Exception):
    """The candidate fails; the message is the reason."""


@dataclass(frozen=True)
class Comparison:
    """The predictions of the served version and of the candidate for the rows of a matrix.

    `halves` tell how much a fit moves by chance, and `trained_rows` how many rows the served version had.
    """

    matrix: Matrix
    served: Predictions
    candidate: Predictions
    halves: Sequence[Half] = ()
    trained_rows: int = 1

    def noise(self, metric: Callable[[Predictions, Mask], Floats]) -> Floats:
        """Return how much metrics differ between two versions by the rows they were trained on.

        A metric is that of predictions for the rows of a mask [rows].
        """
        differences = []
        for half in self.halves:
            chosen = np.zeros(len(self.candidate.labels), dtype=bool)
            chosen[half.others] = True
            whole = replace(self.candidate, resamples=None).select(chosen)
            other = replace(whole, probabilities=half.probabilities[np.argsort(half.others)][None])
            differences.append(np.ravel(metric(other, chosen) - metric(whole, chosen)))
        spreads = [spread(list(values)) for values in zip(*differences, strict=True)] or [0.0]
        by_both = math.sqrt(1 + len(self.candidate.labels) / self.trained_rows)
        return np.array(spreads) * by_both


def least_rows(declaration: Declaration) -> int:
    """Return the rows of a class that show a fifth of them lost.

    Where a version loses k rows and gains none, the difference is the square root of k standard errors: a
    resample's number of them has the variance k.
    """
    metrics = 3 if declaration.binary else 2
    return round(math.ceil(float(norm.isf(ERROR_RATE / metrics)) ** 2) / SEEN_LOSS)


def check_rows(declaration: Declaration, data: TrainingData, *, allow_few: bool = False) -> FewRows | None:
    """Fail on too few rows to judge by, unless they are allowed and returned, or on too many duplicates."""
    counts = np.bincount(data.labels, minlength=len(declaration.classes))
    rarest = int(counts.argmin())
    few = None
    needed = least_rows(declaration)
    if counts[rarest] < needed:
        few = FewRows(label=declaration.labels[rarest], rows=int(counts[rarest]), needed=needed)
        if not allow_few:
            raise GateError(
                f"too few rows: {few.rows} of '{few.label}' where {needed} are needed to see a fifth of "
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


def check_agreement(
    declaration: Declaration, evidence: Iterable[Evidence], say: Callable[[str], None]
) -> None:
    """Fail if new rows do not agree with the served version, beyond what chance explains of so many looks."""
    found = beyond_chance(list(evidence), ERROR_RATE)
    for item in found[1:]:
        say(f"also: {item.reason}")
    if found:
        raise GateError(
            f"{found[0].reason}; if the world has changed and the rows are right, train {declaration.name} "
            f"anew (make train), which compares with no version"
        )


def check_differences(differences: list[Difference], comparison: Comparison, served: str) -> None:
    """Fail if the candidate is worse than the served version, beyond noise of rows and of training."""
    noise = comparison.noise(
        lambda predictions, _: np.array([values[0] for values in compared_metrics(predictions).values()])
    )
    limit = float(norm.isf(ERROR_RATE / len(differences)))
    for difference, by_training in zip(differences, np.broadcast_to(noise, len(differences)), strict=True):
        loss = difference.value if difference.metric in LOWER_IS_BETTER else -difference.value
        if loss > limit * np.hypot(difference.error, by_training):
            raise GateError(
                f"worse beyond noise: {difference.metric} {difference.second:.4f} where {served} has "
                f"{difference.first:.4f} ({difference.lower:+.4f} to {difference.upper:+.4f}); keep "
                f"{served}, or train on more rows (those of before, too)"
            )


def check_card(comparison: Comparison, evaluation: Evaluation, served: str) -> None:
    """Fail if the candidate is worse than the served version's card says of that one, beyond noise.

    The largest of the metrics' differences is held against what the largest is by chance: resamples of these
    rows, less as many of the card's, which vary as these do.
    """
    values = {
        name: metric
        for name, metric in compared_metrics(comparison.candidate).items()
        if name in evaluation.metrics
    }
    names, signs = list(values), [1 if name in LOWER_IS_BETTER else -1 for name in values]
    cards = [evaluation.metrics[name] for name in names]
    resampled = np.stack([values[name][1:] for name in names], axis=1) * signs
    card_errors = np.array([(card.upper - card.lower) / 2 / norm.isf(0.025) for card in cards])
    own = np.nanstd(resampled, axis=0)
    errors = np.hypot(own, card_errors)
    deviations = resampled - np.nanmean(resampled, axis=0)
    others = deviations[::-1] * np.divide(card_errors, own, out=np.zeros_like(own), where=own > 0)
    limit = largest_by_chance((deviations - others) / np.maximum(errors, TINY), CARD_ERROR_RATE)
    losses = np.array([values[name][0] - card.value for name, card in zip(names, cards, strict=True)]) * signs
    worst = int(np.argmax(losses / np.maximum(errors, TINY)))
    if losses[worst] > limit * errors[worst]:
        name, card = names[worst], cards[worst]
        raise GateError(
            f"worse than the card beyond noise: {name} {values[name][0]:.4f} on these rows, where {served} "
            f"had {card.value:.4f} on its own; labels are suspicious, or columns mixed up: "
            f"have some of the rows that {served} is surest about and wrong on labelled again"
        )


def check_calibration(comparison: Comparison) -> None:
    """Fail if the candidate is worse calibrated than the served version, beyond noise."""
    served, candidate = comparison.served.mean(calibration), comparison.candidate.mean(calibration)
    noise = np.broadcast_to(comparison.noise(lambda predictions, _: predictions.mean(calibration)), 2)
    limit = float(norm.isf(ERROR_RATE / 2))
    for index, (name, ideal) in enumerate((("intercept", 0), ("slope", 1))):
        increase = np.abs(candidate[index] - ideal) - np.abs(served[index] - ideal)
        if increase[0] > limit * np.hypot(deviation(increase), noise[index]):
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
    limit = float(norm.isf(ERROR_RATE / max(len(groups), 1)))
    for name, member in groups:
        served = comparison.served.select(member).mean(false_negative_rate)
        candidate = comparison.candidate.select(member).mean(false_negative_rate)
        noise = comparison.noise(partial(_misses, member))[0]
        increase = candidate - served
        if increase[0] > limit * np.hypot(deviation(increase), noise):
            raise GateError(
                f"higher false negative rate in a group: {candidate[0]:.0%} of {name}, where the served "
                f"version has {served[0]:.0%}"
            )


def _misses(member: Mask, predictions: Predictions, chosen: Mask) -> Floats:
    return predictions.select(member[chosen]).mean(false_negative_rate)


def check_directions(
    declaration: Declaration, pipeline: Pipeline, matrix: Matrix, halves: Sequence[Half] = ()
) -> None:
    """Fail if the mean probability falls along values that the declaration calls rising, beyond noise."""
    rows = matrix[:: max(1, len(matrix) // DIRECTION_ROWS)]
    steps = sum(len(values) - 1 for feature in declaration.features for values in feature.rising)
    limit = float(norm.isf(ERROR_RATE / max(steps, 1)))
    for column, feature in enumerate(declaration.features):
        for values in feature.rising:
            encoded = [feature.encode(value) for value in values]
            means, *others = (
                np.array([_mean_probability(fitted, rows, column, value) for value in encoded])
                for fitted in (pipeline, *(half.pipeline for half in halves))
            )
            falls = [list(step) for step in -np.diff(others, axis=1).T] if others else [[]] * len(encoded)
            for number, (low, high) in enumerate(pairwise(values)):
                before, after = means[number], means[number + 1]
                if before - after > FLAT + limit * spread(falls[number]):
                    raise GateError(
                        f"a direction is wrong: '{declaration.labels[1]}' becomes less likely from {low} to "
                        f"{high} of {feature.name} ({before:.3f} to {after:.3f}); look whether the column or "
                        "its codes are mixed up"
                    )


def _mean_probability(pipeline: Pipeline, rows: Matrix, column: int, value: float) -> float:
    """Return the mean probability of the positive class if all rows had a value in a column."""
    changed = rows.copy()
    changed[:, column] = value
    return float(pipeline.predict_proba(changed)[:, 1].mean())
