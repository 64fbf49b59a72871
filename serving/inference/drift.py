"""Counts the values and scores of a model in the bins of its training data: rules detect drift from them.

Each predicted row adds one value of each feature and of the score. Rejected values, values outside the
training range, and values that are no listed category are counted by feature. Gauges show the reference
distribution.
"""

import logging
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from bundle.bins import Bins, all_bins
from bundle.concepts import (
    FEATURE_CHI_SQUARE,
    FEATURE_OUT_OF_RANGE,
    FEATURE_REFERENCE_ROWS,
    FEATURE_REFERENCE_SHARE,
    FEATURE_REJECTED,
    FEATURE_UNLISTED,
    FEATURE_VALUES,
)
from bundle.encoding import Matrix
from bundle.errors import FieldError
from bundle.features import CategoryFeature, NumberFeature
from serving.inference.catalogue import Prediction, ServedModel
from serving.metrics.vocabulary import Recorder, Vocabulary

LEAST_QUANTILE = 27.0
"""Of two bins, for one feature and the score: bundles under it have a level that does not hold for a year."""

TOGETHER = 256
"""Rows that are counted at once, by column, in less than half of the time of counting each alone."""

log = logging.getLogger("serving")


class DriftCounts:
    """Counts the rows of one version of a model."""

    def __init__(self, model: ServedModel, vocabulary: Vocabulary) -> None:
        declaration, manifest = model.declaration, model.manifest
        origin = {"model": model.name, "version": model.version, "reference": manifest.reference}
        self._features: list[tuple[Bins, list[Recorder]]] = []
        for feature, bins in all_bins(declaration.features, manifest.distribution, manifest.score).items():
            counts = []
            for name, share in zip(bins.names, bins.shares, strict=True):
                dimensions = origin | {"feature": feature, "bin": name}
                counts.append(vocabulary.counter(declaration, FEATURE_VALUES, **dimensions))
                vocabulary.gauge(declaration, FEATURE_REFERENCE_SHARE, **dimensions)(share)
            self._features.append((bins, counts))
        numbers = {len(bins.names) for bins, _ in self._features}
        if manifest.chi_square.get(2, LEAST_QUANTILE) < LEAST_QUANTILE or numbers - {*manifest.chi_square, 1}:
            fields = {
                "model": model.name,
                "version": model.version,
                "remedy": f"make train MODEL={model.name}",
            }
            log.warning(
                "drift of this bundle raises false alarms: it has an earlier level", extra={"fields": fields}
            )
        for number, quantile in manifest.chi_square.items():
            dimensions = origin | {"bins": str(number)}
            vocabulary.gauge(declaration, FEATURE_CHI_SQUARE, **dimensions)(quantile)
        vocabulary.gauge(declaration, FEATURE_REFERENCE_ROWS, **origin)(manifest.data.rows)
        self._pending: list[tuple[float, ...]] = []
        vocabulary.before_collecting(self.count_pending)
        self._count_rejected = {
            feature.name: vocabulary.counter(declaration, FEATURE_REJECTED, feature=feature.name, **origin)
            for feature in declaration.features
        }
        self._count_warning = {
            feature.name: vocabulary.counter(
                declaration, FEATURE_OUT_OF_RANGE, feature=feature.name, **origin
            )
            for feature in declaration.features
            if isinstance(feature, NumberFeature)
        } | {
            feature.name: vocabulary.counter(declaration, FEATURE_UNLISTED, feature=feature.name, **origin)
            for feature in declaration.features
            if isinstance(feature, CategoryFeature) and feature.other
        }

    def add_row(self, values: Iterable[float], prediction: Prediction) -> None:
        """Add a predicted row, as encoded values in declared order; it is counted together with others."""
        self._pending.append((*values, prediction.score))
        for warning in prediction.warnings:
            self._count_warning[warning.field](1)
        if len(self._pending) == TOGETHER:
            self.count_pending()

    def add_rows(self, matrix: Matrix, predictions: Sequence[Prediction]) -> None:
        """Add predicted rows; `matrix` is float32 [rows, features]."""
        if len(predictions) < TOGETHER:
            for values, prediction in zip(matrix.tolist(), predictions, strict=True):
                self.add_row(values, prediction)
            return
        self._count(matrix.T, np.array([prediction.score for prediction in predictions]))
        for prediction in predictions:
            for warning in prediction.warnings:
                self._count_warning[warning.field](1)

    def count_pending(self) -> None:
        """Count the added rows; the server calls this every second, and before a scrape."""
        if self._pending:
            *columns, scored = np.array(self._pending, dtype=np.float64).T
            self._pending.clear()
            self._count(columns, scored)

    def _count(self, columns: Iterable[NDArray[np.floating]], scored: NDArray[np.float64]) -> None:
        for column, (bins, counts) in zip((*columns, scored), self._features, strict=True):
            for count, number in zip(counts, bins.count(column).tolist(), strict=True):
                count(number)

    def count_rejected(self, faults: Iterable[FieldError]) -> None:
        """Count each feature whose value was rejected."""
        for fault in faults:
            if fault.known and fault.field:
                self._count_rejected[fault.field](1)
