"""Figures of forecasts against outcomes, each for the rows themselves and for every resample of them.

A figure is one function of labels, probabilities and weights [1 + resamples, rows]; its interval is the 95 %
percentile bootstrap over rows (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993).
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from bundle.manifest import Figure

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

RESAMPLES = 2000
MOST_STEPS = 25
"""Of Newton's method: without both classes there is nothing that it could converge to."""

CONVERGED = 1e-9


@dataclass(frozen=True)
class Scores:
    """Labels [rows], the probability of the positive class [rows], and weights [resamples, rows]."""

    labels: Labels
    probability: Floats
    weights: Floats
    threshold: float


def predict(probabilities: Floats, threshold: float | None) -> Labels:
    """Return the predicted class of each row: from the threshold up, or the most probable."""
    if threshold is None:
        return np.asarray(probabilities.argmax(axis=1))
    return np.asarray(probabilities[:, 1] >= threshold, dtype=np.int64)


@lru_cache(maxsize=1)
def resampling_weights(rows: int) -> Floats:
    """Return how often each row stands in each resample [1 + resamples, rows], the data itself first."""
    resampled = np.random.default_rng(0).multinomial(rows, np.full(rows, 1 / rows), size=RESAMPLES)
    weights = np.vstack([np.ones(rows), resampled])
    weights.setflags(write=False)
    return weights


def summarise(values: Floats) -> Figure:
    """Make a figure of [1 + resamples] values; resamples in which it is undefined (NaN) are left out."""
    low, high = np.nanpercentile(values[1:], [2.5, 97.5])
    return Figure(value=round(float(values[0]), 4), low=round(float(low), 4), high=round(float(high), 4))


def accuracy(labels: Labels, probabilities: Floats, threshold: float | None) -> Floats:
    return np.asarray(predict(probabilities, threshold) == labels, dtype=np.float64)


def brier(labels: Labels, probabilities: Floats, threshold: float | None) -> Floats:
    """Squared error of the forecast (Brier, 1950): of the positive class, or summed over more classes."""
    errors = np.square(probabilities - np.eye(probabilities.shape[1])[labels])
    return np.asarray(errors.sum(axis=1) if threshold is None else errors[:, 1])


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


def false_alarm_rate(scores: Scores) -> Floats:
    """Return the share of negative rows that are called positive [resamples]; NaN without a negative row."""
    negative = scores.weights * (1 - scores.labels)
    with np.errstate(invalid="ignore"):
        return np.asarray((negative @ (scores.probability >= scores.threshold)) / negative.sum(axis=1))


def calibration(scores: Scores) -> Floats:
    """Return intercept and slope [2, resamples] of the outcome's log-odds on the forecast's (Cox, 1958).

    0 and 1 are perfect; a slope under 1 means forecasts that are too extreme. Newton's method on the
    weighted likelihood, all resamples at once.
    """
    clipped = np.clip(scores.probability, 1e-6, 1 - 1e-6)
    logit = np.log(clipped / (1 - clipped))
    powers = np.stack([np.ones_like(logit), logit, np.square(logit)], axis=1)
    events = scores.weights * scores.labels @ powers[:, :2]
    estimate = np.zeros((len(scores.weights), 2))
    for _ in range(MOST_STEPS):
        fitted = expit(estimate @ powers[:, :2].T)
        expected = scores.weights * fitted
        gradient = events - expected @ powers[:, :2]
        step = _newton_step(gradient, (expected * (1 - fitted)) @ powers)
        estimate += step
        if not (np.abs(step) > CONVERGED).any():
            break
    return np.asarray(estimate.T)


def _newton_step(gradient: Floats, curvature: Floats) -> Floats:
    """Return the step [resamples, 2] that a gradient [resamples, 2] and a curvature [resamples, 3] ask for.

    The curvature is the symmetric matrix of the second derivatives: by intercept, by both, by slope.
    """
    (g0, g1), (h00, h01, h11) = gradient.T, curvature.T
    determinant = h00 * h11 - np.square(h01)
    return np.stack([(h11 * g0 - h01 * g1) / determinant, (h00 * g1 - h01 * g0) / determinant], axis=1)


def binary_figures(scores: Scores) -> dict[str, Floats]:
    """Return every figure of a model with two classes, each [resamples]."""
    intercept, slope = calibration(scores)
    return {
        "auc": auc(scores),
        "average_precision": average_precision(scores),
        "miss_rate": miss_rate(scores),
        "false_alarm_rate": false_alarm_rate(scores),
        "calibration_intercept": intercept,
        "calibration_slope": slope,
    }
