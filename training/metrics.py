"""Metrics of predicted probabilities, each for all rows and for every bootstrap resample of them.

A metric is a function of labels, probabilities and weights [resamples, rows]; its confidence interval is
the 95 % percentile bootstrap over rows (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993).
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from bundle.evaluation import MetricEstimate
from training.resampling import Floats as Floats  # noqa: PLC0414 - most need them beside the metrics
from training.resampling import Labels as Labels  # noqa: PLC0414

MOST_STEPS = 25
"""Limit of Newton's method, which cannot converge for a resample with only one class."""

CONVERGED = 1e-9
ROUNDING = 1e-12
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


def log_odds(probability: Floats) -> Floats:
    clipped = np.clip(probability, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(clipped / (1 - clipped)))


def calibration(scores: Scores) -> Floats:
    """Return intercept and slope [2, resamples] of observed on predicted log-odds (Cox, 1958).

    0 and 1 are perfect; a slope under 1 means probabilities that are too extreme. Newton's method on the
    weighted likelihood, all resamples at once.
    """
    logit = log_odds(scores.probability)
    powers = np.stack([np.ones_like(logit), logit, np.square(logit)], axis=1)
    weights = scores.weights
    events = weights * scores.labels @ powers[:, :2]
    estimate = np.zeros((len(weights), 2))
    moving = np.arange(len(weights))
    for _ in range(MOST_STEPS):
        fitted = expit(estimate[moving] @ powers[:, :2].T)
        expected = weights * fitted
        step = _newton_step(events - expected @ powers[:, :2], (expected * (1 - fitted)) @ powers)
        estimate[moving] += step
        far = (np.abs(step) > CONVERGED).any(axis=1)
        if not far.any():
            break
        if not far.all():
            weights, events, moving = weights[far], events[far], moving[far]
    return np.asarray(estimate.T)


def _newton_step(gradient: Floats, curvature: Floats) -> Floats:
    """Return the step [resamples, 2] for a gradient [resamples, 2] and a curvature [resamples, 3].

    The curvature holds the second derivatives: by intercept, by both, by slope. Where all log-odds are the
    same there is no slope (NaN): what is left of the determinant is rounding.
    """
    (g0, g1), (h00, h01, h11) = gradient.T, curvature.T
    determinant = h00 * h11 - np.square(h01)
    determinant = np.where(determinant > ROUNDING * h00 * h11, determinant, np.nan)
    return np.stack([(h11 * g0 - h01 * g1) / determinant, (h00 * g1 - h01 * g0) / determinant], axis=1)


BINARY_METRICS = (
    "auc",
    "average_precision",
    "false_negative_rate",
    "false_positive_rate",
    "calibration_intercept",
    "calibration_slope",
)


def binary_metrics(scores: Scores) -> Floats:
    """Return every metric of a model with two classes [metrics, resamples], as BINARY_METRICS names them."""
    rates = [metric(scores) for metric in (auc, average_precision, false_negative_rate, false_positive_rate)]
    return np.stack([*rates, *calibration(scores)])
