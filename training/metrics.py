"""Metrics of predicted probabilities, each for all rows and for every bootstrap resample of them.

A metric is a function of labels, probabilities and weights [1 + resamples, rows]; its confidence interval is
the 95 % percentile bootstrap over rows (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993).
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from bundle.evaluation import MetricEstimate

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

RESAMPLES = 2000
MOST_STEPS = 25
"""Limit of Newton's method, which cannot converge for a resample with only one class."""

CONVERGED = 1e-9
"""Largest step of a coefficient after which the fit ends."""


@dataclass(frozen=True)
class Scores:
    """Labels [rows], the probability of the positive class [rows], and weights [resamples, rows]."""

    labels: Labels
    probability: Floats
    weights: Floats
    threshold: float


def predict(probabilities: Floats, threshold: float | None) -> Labels:
    """Return the predicted class of each row: positive from the threshold on, or the most probable."""
    if threshold is None:
        return np.asarray(probabilities.argmax(axis=1))
    return np.asarray(probabilities[:, 1] >= threshold, dtype=np.int64)


@lru_cache(maxsize=1)
def resampling_weights(rows: int) -> Floats:
    """Return how often each resample holds each row [1 + resamples, rows]; the first is the data itself."""
    resampled = np.random.default_rng(0).multinomial(rows, np.full(rows, 1 / rows), size=RESAMPLES)
    weights = np.vstack([np.ones(rows), resampled])
    weights.setflags(write=False)
    return weights


def summarise(values: Floats) -> MetricEstimate:
    """Return the estimate of [1 + resamples] values; resamples without a value (NaN) do not count."""
    value, lower, upper = values[0], *np.nanpercentile(values[1:], [2.5, 97.5])
    return MetricEstimate(
        value=round(float(value), 4), lower=round(float(lower), 4), upper=round(float(upper), 4)
    )


def accuracy(labels: Labels, probabilities: Floats, threshold: float | None) -> Floats:
    return np.asarray(predict(probabilities, threshold) == labels, dtype=np.float64)


def brier(labels: Labels, probabilities: Floats, threshold: float | None) -> Floats:
    """Squared error (Brier, 1950) of the positive class, or with more than two classes summed over them."""
    errors = np.square(probabilities - np.eye(probabilities.shape[1])[labels])
    return np.asarray(errors.sum(axis=1) if threshold is None else errors[:, 1])


def auc(scores: Scores) -> Floats:
    """Area under the ROC curve [resamples]: share of pairs in the right order, ties counting half."""
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


def false_negative_rate(scores: Scores) -> Floats:
    """Return the share of positive rows predicted negative [resamples]; NaN without a positive row."""
    positive = scores.weights * scores.labels
    with np.errstate(invalid="ignore"):
        return np.asarray((positive @ (scores.probability < scores.threshold)) / positive.sum(axis=1))


def false_positive_rate(scores: Scores) -> Floats:
    """Return the share of negative rows predicted positive [resamples]; NaN without a negative row."""
    negative = scores.weights * (1 - scores.labels)
    with np.errstate(invalid="ignore"):
        return np.asarray((negative @ (scores.probability >= scores.threshold)) / negative.sum(axis=1))


def calibration(scores: Scores) -> Floats:
    """Return intercept and slope [2, resamples] of observed on predicted log-odds (Cox, 1958).

    0 and 1 are perfect; a slope under 1 means probabilities that are too extreme. Newton's method on the
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
    """Return the step [resamples, 2] for a gradient [resamples, 2] and a curvature [resamples, 3].

    The curvature holds the second derivatives: by intercept, by both, by slope.
    """
    (g0, g1), (h00, h01, h11) = gradient.T, curvature.T
    determinant = h00 * h11 - np.square(h01)
    return np.stack([(h11 * g0 - h01 * g1) / determinant, (h00 * g1 - h01 * g0) / determinant], axis=1)


def binary_metrics(scores: Scores) -> dict[str, Floats]:
    """Return every metric of a model with two classes, each [resamples]."""
    intercept, slope = calibration(scores)
    return {
        "auc": auc(scores),
        "average_precision": average_precision(scores),
        "false_negative_rate": false_negative_rate(scores),
        "false_positive_rate": false_positive_rate(scores),
        "calibration_intercept": intercept,
        "calibration_slope": slope,
    }
