"""How good a model is on rows it has not seen: repeated cross-validation, with confidence intervals.

Every figure is computed from out-of-fold probabilities [repeats, rows, classes] and averaged over the
repeats.
"""

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline
from tqdm import tqdm

from bundle.declaration import CategoryFeature, Declaration
from bundle.encoding import Matrix
from bundle.manifest import (
    CalibrationBin,
    Evaluation,
    Expectation,
    Figure,
    GroupFigures,
    ThresholdFigures,
)
from training.figures import (
    RESAMPLES,
    Floats,
    Labels,
    Scores,
    accuracy,
    binary_figures,
    brier,
    false_alarm_rate,
    miss_rate,
    predict,
    resampling_weights,
    summarise,
)

FOLDS = 10
FORECASTS = 3000
"""The cross-validation is repeated until there are so many forecasts, at most ten times."""

MOST_REPEATS = 10
TENTHS = 10


def evaluate(declaration: Declaration, matrix: Matrix, labels: Labels, probabilities: Floats) -> Evaluation:
    """Evaluate out-of-fold probabilities; two classes get the figures of a probability forecast."""
    weights = resampling_weights(len(labels))
    figures = {"accuracy": accuracy, "brier": brier}
    result = {
        name: _figure(figure, declaration, labels, probabilities, weights) for name, figure in figures.items()
    }
    expectation = expect(declaration, probabilities)
    groups: list[GroupFigures] = []
    forecasts, outcomes = _forecasts(declaration, labels, probabilities)
    if declaration.binary:
        result |= _binary_figures(declaration, labels, probabilities, weights)
        groups = _group_figures(declaration, matrix, labels, probabilities, weights)
    method = (
        f"{len(probabilities)} x {FOLDS}-fold stratified cross-validation with preprocessing inside the "
        f"folds; 95 % intervals from {RESAMPLES} bootstrap resamples of the rows"
    )
    return Evaluation(
        method=method,
        expectation=expectation,
        figures=result,
        groups=groups,
        calibration=_calibration(forecasts, outcomes, weights),
        thresholds=_thresholds(declaration, labels, probabilities, weights),
    )


def _forecasts(declaration: Declaration, labels: Labels, probabilities: Floats) -> tuple[Floats, Floats]:
    """Return what was forecast, and whether it came true, both [repeats, rows].

    Of two classes that is the positive one; of more, that the likeliest class is the right one.
    """
    if declaration.binary:
        return probabilities[:, :, 1], np.tile(labels.astype(np.float64), (len(probabilities), 1))
    right = probabilities.argmax(axis=2) == labels
    return probabilities.max(axis=2), right.astype(np.float64)


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


def _figure(
    figure: Callable[[Labels, Floats, float | None], Floats],
    declaration: Declaration,
    labels: Labels,
    probabilities: Floats,
    weights: Floats,
) -> Figure:
    per_row = np.mean([figure(labels, repeat, declaration.threshold) for repeat in probabilities], axis=0)
    with np.errstate(invalid="ignore"):  # a resample may have none of a group's rows
        return summarise(weights @ per_row / weights.sum(axis=1))


def _binary_figure(
    figure: Callable[[Scores], Floats],
    declaration: Declaration,
    labels: Labels,
    probabilities: Floats,
    weights: Floats,
    *,
    threshold: float | None = None,
) -> Figure:
    threshold = threshold or declaration.threshold or 0.0
    values = [figure(Scores(labels, repeat[:, 1], weights, threshold)) for repeat in probabilities]
    return summarise(np.mean(values, axis=0))


def _binary_figures(
    declaration: Declaration, labels: Labels, probabilities: Floats, weights: Floats
) -> dict[str, Figure]:
    threshold = declaration.threshold or 0.0
    repeats = [binary_figures(Scores(labels, repeat[:, 1], weights, threshold)) for repeat in probabilities]
    return {name: summarise(np.mean([repeat[name] for repeat in repeats], axis=0)) for name in repeats[0]}


def _group_figures(
    declaration: Declaration,
    matrix: Matrix,
    labels: Labels,
    probabilities: Floats,
    weights: Floats,
) -> list[GroupFigures]:
    figures = []
    for feature, group, member in group_members(declaration, matrix):
        if not member.any():
            continue
        its = (declaration, labels[member], probabilities[:, member], weights[:, member])
        rates = {"accuracy": _figure(accuracy, *its)}
        positives, rows = int(labels[member].sum()), int(member.sum())
        if positives:
            rates["miss_rate"] = _binary_figure(miss_rate, *its)
        if positives < rows:
            rates["false_alarm_rate"] = _binary_figure(false_alarm_rate, *its)
        figures.append(
            GroupFigures(feature=feature, group=group, rows=rows, positives=positives, figures=rates)
        )
    return figures


def _thresholds(
    declaration: Declaration, labels: Labels, probabilities: Floats, weights: Floats
) -> list[ThresholdFigures]:
    """Return what the declared threshold gives, and the one that costs least if probabilities are right.

    A miss costs `cost_of_miss` false alarms. Of a row with probability p a false alarm costs 1 - p and a miss
    p times that, so the positive class is the cheaper answer from 1 / (1 + cost_of_miss) on.
    """
    worth = declaration.cost_of_miss
    if declaration.threshold is None or worth is None:
        return []

    def cost(scores: Scores) -> Floats:
        called = scores.probability >= scores.threshold
        per_row = np.where(scores.labels == 1, worth * ~called, called)
        return np.asarray(1000 * scores.weights @ per_row / scores.weights.sum(axis=1))

    return [
        ThresholdFigures(
            threshold=round(threshold, 4),
            **{
                name: _binary_figure(figure, declaration, labels, probabilities, weights, threshold=threshold)
                for name, figure in (
                    ("miss_rate", miss_rate),
                    ("false_alarm_rate", false_alarm_rate),
                    ("cost", cost),
                )
            },
        )
        for threshold in dict.fromkeys([declaration.threshold, 1 / (1 + worth)])
    ]


def _calibration(forecasts: Floats, outcomes: Floats, weights: Floats) -> list[CalibrationBin]:
    """Return how often what was forecast came true, by tenths of the forecast.

    Forecasts and outcomes are [repeats, rows]; a tenth that holds no row in each repeat is left out.
    """
    tenths = np.minimum((forecasts * TENTHS).astype(np.int64), TENTHS - 1)
    bins = []
    for tenth in range(TENTHS):
        member = tenths == tenth
        rows = member.sum() / len(forecasts)
        if rows < 1:
            continue
        with np.errstate(invalid="ignore"):
            share = (weights @ (member * outcomes).mean(axis=0)) / (weights @ member.mean(axis=0))
        mean = float(forecasts[member].mean())
        bins.append(CalibrationBin(rows=round(rows), forecast=round(mean, 4), share=summarise(share)))
    return bins


def group_members(declaration: Declaration, matrix: Matrix) -> list[tuple[str, str, NDArray[np.bool_]]]:
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
