"""The quality of one version as gauges."""

import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from bundle.concepts import (
    MODEL_CALIBRATION_LOWER,
    MODEL_CALIBRATION_OBSERVED,
    MODEL_CALIBRATION_SCORE,
    MODEL_CALIBRATION_UPPER,
    MODEL_OUTCOME_SHARE,
    MODEL_OUTCOME_SHARE_LOWER,
    MODEL_OUTCOME_SHARE_UPPER,
    MODEL_OUTCOMES,
    MODEL_QUALITY,
    MODEL_QUALITY_EARLIER_LOWER,
    MODEL_QUALITY_EARLIER_UPPER,
    MODEL_QUALITY_EXPECTED,
    MODEL_QUALITY_EXPECTED_LOWER,
    MODEL_QUALITY_EXPECTED_UPPER,
    MODEL_QUALITY_LOWER,
    MODEL_QUALITY_UPPER,
    MODEL_WINDOW_PREDICTIONS,
    Concept,
)
from serving.feedback.coverage import Coverage
from serving.feedback.expectation import expected
from serving.feedback.intervals import ALERTED, EARLIER, REFERENCE, SHOWN
from serving.feedback.outcomes import SCORE_BINS
from serving.feedback.quality import CalibrationBin, Quality
from serving.inference.catalogue import ServedModel
from serving.metrics.vocabulary import Recorder, Vocabulary

Series = tuple[Concept, tuple[str, ...]]
"""A concept, and the values of its dimensions after model and version."""

Values = dict[Series, float]


class QualityGauges:
    """The gauges of one version. A series appears with its first value; it is NaN without one."""

    def __init__(self, model: ServedModel, vocabulary: Vocabulary) -> None:
        self.model = model
        self._vocabulary = vocabulary
        self._gauges: dict[Series, Recorder] = {}
        self._set(card_values(model))
        self._card = set(self._gauges)

    def show(self, quality: Quality, earlier: Quality | None, classes: Mapping[str, Coverage]) -> None:
        """Show the quality in the window, that before it where one is known, and of what outcomes are."""
        values = quality_values(quality) | coverage_values(classes)
        if earlier is not None:
            values |= earlier_values(earlier)
        self.hide(set(values))
        self._set(values)

    def hide(self, still_known: AbstractSet[Series] = frozenset()) -> None:
        """Set all series to NaN but those that are still known, and the card's."""
        for series in set(self._gauges) - self._card - still_known:
            self._gauges[series](math.nan)

    def _set(self, values: Mapping[Series, float]) -> None:
        for series, value in values.items():
            if series not in self._gauges:
                self._gauges[series] = self._gauge(*series)
            self._gauges[series](value)

    def _gauge(self, concept: Concept, values: tuple[str, ...]) -> Recorder:
        model = self.model
        dimensions = zip(concept.dimensions, (model.name, model.version, *values), strict=True)
        return self._vocabulary.gauge(model.declaration, concept, **dict(dimensions))


def card_values(model: ServedModel) -> Values:
    values: Values = {}
    for metric, expectation in expected(model.manifest, threshold=model.threshold).items():
        lower, upper = expectation.interval
        values[MODEL_QUALITY_EXPECTED, (metric,)] = expectation.value
        values[MODEL_QUALITY_EXPECTED_LOWER, (metric,)] = lower
        values[MODEL_QUALITY_EXPECTED_UPPER, (metric,)] = upper
    return values


def quality_values(quality: Quality) -> Values:
    values: Values = {}
    for classes, rows in quality.outcomes.items():
        values[MODEL_OUTCOMES, classes] = rows
    for metric, estimate in quality.metrics.items():
        values[MODEL_QUALITY, (metric,)] = estimate.value
        for confidence_level in (SHOWN, ALERTED):
            lower, upper = estimate.intervals[confidence_level]
            values[MODEL_QUALITY_LOWER, (metric, confidence_level)] = lower
            values[MODEL_QUALITY_UPPER, (metric, confidence_level)] = upper
    for score_bin, calibration in quality.calibration.items():
        values |= calibration_values(score_bin, calibration)
    return values


def calibration_values(score_bin: int, calibration: CalibrationBin) -> Values:
    name = (f"{score_bin / SCORE_BINS:g} to {(score_bin + 1) / SCORE_BINS:g}",)
    lower, upper = calibration.observed.intervals[SHOWN]
    return {
        (MODEL_CALIBRATION_SCORE, name): calibration.score,
        (MODEL_CALIBRATION_OBSERVED, name): calibration.observed.value,
        (MODEL_CALIBRATION_LOWER, name): lower,
        (MODEL_CALIBRATION_UPPER, name): upper,
    }


def earlier_values(earlier: Quality) -> Values:
    values: Values = {}
    for metric, estimate in earlier.metrics.items():
        lower, upper = estimate.intervals[EARLIER]
        values[MODEL_QUALITY_EARLIER_LOWER, (metric,)] = lower
        values[MODEL_QUALITY_EARLIER_UPPER, (metric,)] = upper
    return values


def coverage_values(classes: Mapping[str, Coverage]) -> Values:
    values: Values = {}
    for label, covered in classes.items():
        lower, upper = covered.share.intervals[REFERENCE]
        values[MODEL_WINDOW_PREDICTIONS, (label,)] = covered.predictions
        values[MODEL_OUTCOME_SHARE, (label,)] = covered.share.value
        values[MODEL_OUTCOME_SHARE_LOWER, (label,)] = lower
        values[MODEL_OUTCOME_SHARE_UPPER, (label,)] = upper
    return values
