"""How good a model is on rows it has not seen: repeated cross-validation, with confidence intervals.

Every figure is computed from out-of-fold probabilities [repeats, rows, classes] and averaged over the
repeats. Its interval is the 95 % percentile bootstrap over rows (Efron and Tibshirani, "An Introduction to
the Bootstrap", 1993): resampling is done by weights, so that a figure is one function of labels,
probabilities and weights [resamples, rows].
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline
from tqdm import tqdm

from bundle.declaration import CategoryFeature, Declaration
from bundle.encoding import Matrix
from bundle.manifest import Evaluation, Expectation, Figure, GroupFigures

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

FOLDS = 10
FORECASTS = 3000
"""The cross-validation is repeated until there are so many forecasts, at most ten times."""

MOST_REPEATS = 10
RESAMPLES = 2000
NEWTON_STEPS = 25


@dataclass(frozen=True)
class Scores:
    """Labels [rows], the probability of the positive class [rows], and weights [resamples, rows]."""

    labels: Labels
    probability: Floats
    weights: Floats
    threshold: float


def evaluate(declaration: Declaration, matrix: Matrix, labels: Labels, probabilities: Floats) -> Evaluation:
    """Evaluate out-of-fold probabilities; two classes get the figures of a probability forecast."""
    weights = resampling_weights(len(labels))
    figures = {"accuracy": accuracy, "brier": brier}
    result = {
        name: _figure(figure, declaration, labels, probabilities, weights) for name, figure in figures.items()
    }
    expectation = expect(declaration, probabilities)
    groups: list[GroupFigures] = []
    if declaration.binary:
        for name, binary in BINARY_FIGURES.items():
            result[name] = _binary_figure(binary, declaration, labels, probabilities, weights)
        groups = _group_figures(declaration, matrix, labels, probabilities, weights)
    method = (
        f"{len(probabilities)} x {FOLDS}-fold stratified cross-validation with preprocessing inside the "
        f"folds; 95 % intervals from {RESAMPLES} bootstrap resamples of the rows"
    )
    return Evaluation(method=method, expectation=expectation, figures=result, groups=groups)


def expect(declaration: Declaration, probabilities: Floats) -> Expectation:
    """Return the share of each predicted class, and the mean probability of the predicted one."""
    flat = probabilities.reshape(-1, probabilities.shape[-1])
    predicted = predict(flat, declaration.threshold)
    counts = np.bincount(predicted, minlength=len(declaration.classes))
    confidence = np.take_along_axis(flat, predicted[:, None], axis=1).mean()
    return Expectation(
        shares={
            label: round(float(count) / len(flat), 4)
            for label, count in zip(declaration.labels, counts, strict=True)
        },
        confidence=round(float(confidence), 4),
    )


def predict(probabilities: Floats, threshold: float | None) -> Labels:
    """Return the predicted class of each row: from the threshold up, or the most probable."""
    if threshold is None:
        return np.asarray(probabilities.argmax(axis=1))
    return np.asarray(probabilities[:, 1] >= threshold, dtype=np.int64)


def out_of_fold(build: Callable[[], Pipeline], matrix: Matrix, labels: Labels, classes: int) -> Floats:
    """Return probabilities [repeats, rows, classes] by pipelines that had not seen the row."""
    repeats = min(math.ceil(FORECASTS / len(labels)), MOST_REPEATS)
    probabilities = np.empty((repeats, len(labels), classes))
    with tqdm(total=repeats * FOLDS, desc="cross-validation", unit="fold", disable=None) as progress:
        for repeat in range(repeats):
            for train, test in StratifiedKFold(FOLDS, shuffle=True, random_state=repeat).split(
                matrix, labels
            ):
                fitted = build().fit(matrix[train], labels[train])
                probabilities[repeat, test] = fitted.predict_proba(matrix[test])
                progress.update()
    return probabilities


def resampling_weights(rows: int) -> Floats:
    """Return how often each row stands in each resample [1 + resamples, rows], the data itself first."""
    resampled = np.random.default_rng(0).multinomial(rows, np.full(rows, 1 / rows), size=RESAMPLES)
    return np.vstack([np.ones(rows), resampled])


def summarise(values: Floats) -> Figure:
    """Make a figure of [1 + resamples] values; resamples in which it is undefined (NaN) are left out."""
    low, high = np.nanpercentile(values[1:], [2.5, 97.5])
    return Figure(value=round(float(values[0]), 4), low=round(float(low), 4), high=round(float(high), 4))


def _figure(
    figure: Callable[[Labels, Floats, float | None], Floats],
    declaration: Declaration,
    labels: Labels,
    probabilities: Floats,
    weights: Floats,
) -> Figure:
    per_row = np.mean([figure(labels, repeat, declaration.threshold) for repeat in probabilities], axis=0)
    return summarise(weights @ per_row / weights.sum(axis=1))


def accuracy(labels: Labels, probabilities: Floats, threshold: float | None) -> Floats:
    return np.asarray(predict(probabilities, threshold) == labels, dtype=np.float64)


def brier(labels: Labels, probabilities: Floats, threshold: float | None) -> Floats:
    """Squared error of the forecast (Brier, 1950): of the positive class, or summed over more classes."""
    errors = np.square(probabilities - np.eye(probabilities.shape[1])[labels])
    return np.asarray(errors.sum(axis=1) if threshold is None else errors[:, 1])


def _binary_figure(
    figure: Callable[[Scores], Floats],
    declaration: Declaration,
    labels: Labels,
    probabilities: Floats,
    weights: Floats,
) -> Figure:
    threshold = declaration.threshold or 0.0
    values = [figure(Scores(labels, repeat[:, 1], weights, threshold)) for repeat in probabilities]
    return summarise(np.mean(values, axis=0))


def auc(scores: Scores) -> Floats:
    """Area under the ROC curve [resamples]: the share of pairs in the right order, ties counting half."""
    order = np.argsort(scores.probability, kind="stable")
    starts = np.flatnonzero(np.diff(scores.probability[order], prepend=-1.0))
    positive = np.add.reduceat(scores.weights[:, order] * scores.labels[order], starts, axis=1)
    negative = np.add.reduceat(scores.weights[:, order] * (1 - scores.labels[order]), starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative / 2
    return np.asarray((positive * below).sum(axis=1) / (positive.sum(axis=1) * negative.sum(axis=1)))


def average_precision(scores: Scores) -> Floats:
    """Area under the precision-recall curve [resamples], as a sum of precision over steps of recall."""
    order = np.argsort(-scores.probability, kind="stable")
    starts = np.flatnonzero(np.diff(scores.probability[order], prepend=2.0))
    positive = np.add.reduceat(scores.weights[:, order] * scores.labels[order], starts, axis=1)
    rows = np.add.reduceat(scores.weights[:, order], starts, axis=1)
    with np.errstate(invalid="ignore"):
        precision = np.cumsum(positive, axis=1) / np.cumsum(rows, axis=1)
    return np.asarray(np.nansum(positive * precision, axis=1) / positive.sum(axis=1))


def miss_rate(scores: Scores) -> Floats:
    """Return the share of positive rows that are called negative [resamples]; NaN without a positive row."""
    positive = scores.weights * scores.labels
    with np.errstate(invalid="ignore"):
        return np.asarray((positive @ (scores.probability < scores.threshold)) / positive.sum(axis=1))


def calibration(scores: Scores) -> Floats:
    """Return intercept and slope [2, resamples] of the outcome's log-odds on the forecast's (Cox, 1958).

    0 and 1 are perfect; a slope under 1 means forecasts that are too extreme. Newton's method on the
    weighted likelihood, all resamples at once.
    """
    clipped = np.clip(scores.probability, 1e-6, 1 - 1e-6)
    logit = np.log(clipped / (1 - clipped))
    intercept = np.zeros(len(scores.weights))
    slope = np.ones(len(scores.weights))
    for _ in range(NEWTON_STEPS):
        fitted = 1 / (1 + np.exp(-(intercept[:, None] + slope[:, None] * logit)))
        residual = scores.weights * (scores.labels - fitted)
        curvature = scores.weights * fitted * (1 - fitted)
        g0, g1 = residual.sum(axis=1), residual @ logit
        h00, h01, h11 = curvature.sum(axis=1), curvature @ logit, curvature @ np.square(logit)
        determinant = h00 * h11 - np.square(h01)
        intercept += (h11 * g0 - h01 * g1) / determinant
        slope += (h00 * g1 - h01 * g0) / determinant
    return np.stack([intercept, slope])


BINARY_FIGURES: dict[str, Callable[[Scores], Floats]] = {
    "auc": auc,
    "average_precision": average_precision,
    "miss_rate": miss_rate,
    "calibration_intercept": lambda scores: calibration(scores)[0],
    "calibration_slope": lambda scores: calibration(scores)[1],
}


def _group_figures(
    declaration: Declaration,
    matrix: Matrix,
    labels: Labels,
    probabilities: Floats,
    weights: Floats,
) -> list[GroupFigures]:
    figures = []
    for feature, group, member in _group_members(declaration, matrix):
        positives = int(labels[member].sum())
        missed = (
            _binary_figure(
                miss_rate, declaration, labels[member], probabilities[:, member], weights[:, member]
            )
            if positives
            else None
        )
        rows = int(member.sum())
        figures.append(
            GroupFigures(feature=feature, group=group, rows=rows, positives=positives, miss_rate=missed)
        )
    return figures


def _group_members(declaration: Declaration, matrix: Matrix) -> list[tuple[str, str, NDArray[np.bool_]]]:
    """Return feature, name and members [rows] of every group the declaration names."""
    members = []
    for group in declaration.groups:
        feature = declaration.feature(group.feature)
        values = matrix[:, declaration.feature_names.index(feature.name)]
        if isinstance(feature, CategoryFeature):
            members += [(feature.name, name, values == code) for name, code in feature.codes.items()]
            continue
        edges = [-np.inf, *group.edges, np.inf]
        for low, high in pairwise(edges):
            name = (
                f"under {high:g}"
                if low == -np.inf
                else f"{low:g} and over"
                if high == np.inf
                else f"{low:g} to under {high:g}"
            )
            members.append((feature.name, name, (values >= low) & (values < high)))
    return members
