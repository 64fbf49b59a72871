"""Counts what a model is asked and answers in the bins of its training data, so that rules can tell drift.

Every answered row is one value of each feature and of the score; what was refused, and what lay outside of
the training data's range, is counted by feature beside it. The bundle's own shares stand beside the counts.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from bundle.bins import Bins, all_bins, score
from bundle.declaration import NumberFeature
from bundle.encoding import Matrix
from bundle.errors import FieldError
from serving.inference.catalogue import Answer, ServedModel
from serving.metrics.vocabulary import Record, Vocabulary

TOGETHER = 256
"""Rows that are counted at once, by column, in less than half of the time that they take one by one."""


class DriftCounts:
    """Counts the rows of one version of a model."""

    def __init__(self, model: ServedModel, vocabulary: Vocabulary) -> None:
        declaration, manifest = model.declaration, model.manifest
        origin = {"model": model.name, "version": model.version}
        self._binary = declaration.binary
        self._features: list[tuple[Bins, list[Record]]] = []
        for feature, bins in all_bins(declaration.features, manifest.distribution, manifest.score).items():
            counts = []
            for name, share in zip(bins.names, bins.shares, strict=True):
                its = origin | {"feature": feature, "bin": name}
                counts.append(vocabulary.counter(declaration, "feature_values", **its))
                vocabulary.gauge(declaration, "feature_reference_share", "livemax", **its)(share)
            self._features.append((bins, counts))
        for number, quantile in manifest.chi_square.items():
            its = origin | {"bins": str(number)}
            vocabulary.gauge(declaration, "feature_chi_square", "livemax", **its)(quantile)
        vocabulary.gauge(declaration, "feature_reference_rows", "livemax", **origin)(manifest.data.rows)
        self._pending: list[tuple[float, ...]] = []
        vocabulary.before_collecting(self.count_pending)
        self._refused = {
            feature.name: vocabulary.counter(declaration, "feature_rejected", feature=feature.name, **origin)
            for feature in declaration.features
        }
        self._outside = {
            feature.name: vocabulary.counter(
                declaration, "feature_out_of_range", feature=feature.name, **origin
            )
            for feature in declaration.features
            if isinstance(feature, NumberFeature)
        }

    def row(self, values: Iterable[float], answer: Answer) -> None:
        """Note an answered row, by its encoded values in declared order, to be counted with others."""
        scored = answer.probabilities[1] if self._binary else answer.confidence
        self._pending.append((*values, scored))
        for trained in answer.warnings:
            self._outside[trained.field](1)
        if len(self._pending) == TOGETHER:
            self.count_pending()

    def rows(self, matrix: Matrix, answers: Sequence[Answer]) -> None:
        """Count answered rows; `matrix` is float32 [rows, features]."""
        if len(answers) < TOGETHER:
            for values, answer in zip(matrix.tolist(), answers, strict=True):
                self.row(values, answer)
            return
        self._count(matrix.T, score(np.array([answer.probabilities for answer in answers])))
        for answer in answers:
            for trained in answer.warnings:
                self._outside[trained.field](1)

    def count_pending(self) -> None:
        """Count the rows that wait for it; the server calls this every second, and before a scrape."""
        if self._pending:
            *columns, scored = np.array(self._pending, dtype=np.float64).T
            self._pending.clear()
            self._count(columns, scored)

    def _count(self, columns: Iterable[NDArray[np.floating]], scored: NDArray[np.float64]) -> None:
        for column, (bins, counts) in zip((*columns, scored), self._features, strict=True):
            for count, number in zip(counts, bins.count(column).tolist(), strict=True):
                count(number)

    def refused(self, faults: Iterable[FieldError]) -> None:
        """Count each feature whose value was refused."""
        for fault in faults:
            if fault.known and fault.field:
                self._refused[fault.field](1)
