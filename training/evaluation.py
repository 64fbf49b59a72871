"""Evaluates a model on rows that it has not seen, by repeated cross-validation, with confidence intervals.

Every metric is computed from out-of-fold probabilities [repeats, rows, classes] and averaged over the
repeats.
"""

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline
from tqdm import tqdm

from bundle.declaration import Declaration
from bundle.encoding import Matrix
from bundle.evaluation import (
    CalibrationBin,
    ClassMetrics,
    Evaluation,
    Expectation,
    GroupMetrics,
    MetricEstimate,
    ThresholdMetrics,
)
from bundle.features import CategoryFeature, NumberFeature
from bundle.score import scores
from training.cells import SCORE_BINS, score_bins, thresholds_of
from training.fitting import fit, predict_classes
from training.metrics import (
    BINARY_METRICS,
    Floats,
    Labels,
    Scores,
    accuracy,
    binary_metrics,
    brier,
    false_negative_rate,
    false_positive_rate,
    predict,
    summarise,
)
from training.predictions import Predictions, Sample
from training.resampling import intervals_of

FOLDS = 10
PREDICTIONS = 3000
"""The cross-validation is repeated until it has predicted so many rows, at most ten times."""

MOST_REPEATS = 10


def evaluate(declaration: Declaration, matrix: Matrix, labels: Labels, probabilities: Floats) -> Evaluation:
    """Evaluate out-of-fold probabilities; some metrics, groups and thresholds only exist for two classes."""
    predictions = Predictions.of(declaration, labels, probabilities)
    return Evaluation(
        method=(
            f"{len(probabilities)} x {FOLDS}-fold stratified cross-validation with preprocessing inside the "
            f"folds; {intervals_of(len(labels))}"
        ),
        expectation=expect(declaration, probabilities),
        metrics=_metrics(predictions),
        groups=_group_metrics(predictions, matrix) if declaration.binary else [],
        calibration=_calibration_bins(predictions),
        thresholds=_threshold_metrics(predictions),
        classes=[] if declaration.binary else _class_metrics(predictions),
    )


def expect(declaration: Declaration, probabilities: Floats) -> Expectation:
    """Return the share of each predicted class, and the mean probability of the predicted class."""
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


def out_of_fold(build: Callable[[], Pipeline], matrix: Matrix, labels: Labels, classes: int) -> Floats:
    """Return probabilities [repeats, rows, classes] by pipelines that have not seen the row."""
    repeats = min(math.ceil(PREDICTIONS / len(labels)), MOST_REPEATS)
    probabilities = np.empty((repeats, len(labels), classes))
    with tqdm(total=repeats * FOLDS, desc="cross-validation", unit="fold", disable=None) as progress:
        for repeat in range(repeats):
            folds = StratifiedKFold(FOLDS, shuffle=True, random_state=repeat)
            for train, test in folds.split(matrix, labels):
                fitted = fit(build(), matrix[train], labels[train])
                probabilities[repeat, test] = predict_classes(fitted, matrix[test], classes)
                progress.update()
    return probabilities


def group_members(declaration: Declaration, matrix: Matrix) -> list[tuple[str, str, NDArray[np.bool_]]]:
    """Return feature, name and members [rows] of every declared group."""
    members = []
    for group in declaration.groups:
        feature = declaration.feature(group.feature)
        values = matrix[:, declaration.feature_names.index(feature.name)]
        if isinstance(feature, CategoryFeature):
            members += [(feature.name, name, values == code) for name, code in feature.encoded.items()]
        else:
            members += _number_bands(feature, values, group.edges)
    return members


def _number_bands(
    feature: NumberFeature, values: NDArray[np.float32], edges: tuple[float, ...]
) -> list[tuple[str, str, NDArray[np.bool_]]]:
    return [
        (feature.name, _band_name(lower, upper), (values >= lower) & (values < upper))
        for lower, upper in pairwise([-np.inf, *edges, np.inf])
    ]


def _band_name(lower: float, upper: float) -> str:
    if lower == -np.inf:
        return f"under {upper:g}"
    return f"{lower:g} and over" if upper == np.inf else f"{lower:g} to under {upper:g}"


def _metrics(predictions: Predictions) -> dict[str, MetricEstimate]:
    metrics = {
        "accuracy": summarise(predictions.mean_by_row(accuracy)),
        "brier": summarise(predictions.mean_by_row(brier)),
    }
    if predictions.declaration.binary:
        values = predictions.resampled(lambda sample: sample.mean(binary_metrics))
        metrics |= dict(zip(BINARY_METRICS, map(summarise, values), strict=True))
    return metrics


def _class_metrics(predictions: Predictions) -> list[ClassMetrics]:
    """Return recall and precision of each class, over all repeats together."""
    classes = []
    for index, label in enumerate(predictions.declaration.labels):
        metrics = {"recall": summarise(predictions.resampled(partial(_recall, index)))}
        if _answered(index, predictions).any():
            metrics["precision"] = summarise(predictions.resampled(partial(_precision, index)))
        classes.append(
            ClassMetrics(label=label, rows=int((predictions.labels == index).sum()), metrics=metrics)
        )
    return classes


def _recall(index: int, sample: Sample) -> Floats:
    member = (sample.labels == index).astype(np.float64)
    return sample.ratio(member * _answered(index, sample), member)


def _precision(index: int, sample: Sample) -> Floats:
    answered = _answered(index, sample)
    return sample.ratio((sample.labels == index) * answered, answered)


def _answered(index: int, sample: Sample | Predictions) -> Floats:
    """Return in which share of the repeats each row is predicted to be of a class [rows]."""
    return np.asarray(np.mean([predict(repeat, None) == index for repeat in sample.probabilities], axis=0))


def _group_metrics(predictions: Predictions, matrix: Matrix) -> list[GroupMetrics]:
    groups = []
    for feature, name, member in group_members(predictions.declaration, matrix):
        if not member.any():
            continue
        group = predictions.select(member)
        rows, positives = len(group.labels), int(group.labels.sum())
        metrics = {"accuracy": summarise(group.mean_by_row(accuracy))}
        if positives:
            metrics["false_negative_rate"] = summarise(group.mean(false_negative_rate))
        if positives < rows:
            metrics["false_positive_rate"] = summarise(group.mean(false_positive_rate))
        groups.append(
            GroupMetrics(feature=feature, group=name, rows=rows, positives=positives, metrics=metrics)
        )
    return groups


def _threshold_metrics(predictions: Predictions) -> list[ThresholdMetrics]:
    """Return metrics of the declared threshold, and of the cheapest one for calibrated probabilities.

    A false negative costs `cost_of_false_negative` false positives. Predicting a row with probability p
    positive costs 1 - p, predicting it negative p times the cost of a false negative: the positive class is
    cheaper from 1 / (1 + cost_of_false_negative) on.
    """
    cost_ratio = predictions.declaration.cost_of_false_negative
    if cost_ratio is None:
        return []

    def cost(scores: Scores) -> Floats:
        positive = scores.probability >= scores.threshold
        by_row = np.where(scores.labels == 1, cost_ratio * ~positive, positive)
        return np.asarray(1000 * scores.weights @ by_row / scores.weights.sum(axis=1))

    return [
        ThresholdMetrics(
            threshold=round(threshold, 4),
            false_negative_rate=summarise(predictions.mean(false_negative_rate, threshold)),
            false_positive_rate=summarise(predictions.mean(false_positive_rate, threshold)),
            cost=summarise(predictions.mean(cost, threshold)),
        )
        for threshold in thresholds_of(predictions.declaration)
    ]


def _calibration_bins(predictions: Predictions) -> list[CalibrationBin]:
    """Return predicted probability and observed frequency of ten score bins.

    A bin that holds less than one row a repeat is left out.
    """
    predicted, _ = _predicted_and_observed(predictions)
    numbers = score_bins(predicted)
    bins = []
    for number in range(SCORE_BINS):
        member = numbers == number
        rows = member.sum() / len(predicted)
        if rows < 1:
            continue
        frequency = predictions.resampled(partial(_observed_frequency, number))
        mean = round(float(predicted[member].mean()), 4)
        bins.append(CalibrationBin(rows=round(rows), predicted=mean, observed=summarise(frequency)))
    return bins


def _observed_frequency(number: int, sample: Sample) -> Floats:
    predicted, observed = _predicted_and_observed(sample)
    member = score_bins(predicted) == number
    return sample.ratio((member * observed).mean(axis=0), member.mean(axis=0))


def _predicted_and_observed(predictions: Predictions | Sample) -> tuple[Floats, Floats]:
    """Return a predicted probability and whether the event was observed (1, 0), both [repeats, rows].

    With two classes the event is the positive class, with more that the most probable class is right.
    """
    labels, probabilities = predictions.labels, predictions.probabilities
    if predictions.declaration.binary:
        return scores(probabilities), np.tile(labels.astype(np.float64), (len(probabilities), 1))
    right = probabilities.argmax(axis=2) == labels
    return scores(probabilities), right.astype(np.float64)
