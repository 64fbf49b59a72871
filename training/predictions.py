"""Labels and predicted probabilities of the same rows, and their metrics in every resample."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from bundle.declaration import Declaration
from training.metrics import Floats, Labels, Scores, resampling_weights


@dataclass(frozen=True)
class Predictions:
    """Labels [rows], probabilities [repeats, rows, classes], and weights [1 + resamples, rows]."""

    declaration: Declaration
    labels: Labels
    probabilities: Floats
    weights: Floats

    @classmethod
    def of(cls, declaration: Declaration, labels: Labels, probabilities: Floats) -> Self:
        """Return the predictions of all rows, with the weights of their resamples."""
        return cls(declaration, labels, probabilities, resampling_weights(len(labels)))

    def select(self, member: NDArray[np.bool_]) -> Self:
        """Return the predictions of the rows that belong to a group [rows]."""
        return replace(
            self,
            labels=self.labels[member],
            probabilities=self.probabilities[:, member],
            weights=self.weights[:, member],
        )

    def scores(self, threshold: float | None = None) -> list[Scores]:
        """Return the scores of each repeat, with the declared threshold or another."""
        threshold = threshold or self.declaration.threshold or 0.0
        return [Scores(self.labels, repeat[:, 1], self.weights, threshold) for repeat in self.probabilities]

    def mean_by_row(self, metric: Callable[[Labels, Floats, float | None], Floats]) -> Floats:
        """Return the mean over rows [1 + resamples] of a metric that each row has."""
        threshold = self.declaration.threshold
        by_row = np.mean([metric(self.labels, repeat, threshold) for repeat in self.probabilities], axis=0)
        with np.errstate(invalid="ignore"):  # a resample may hold no row of a group
            return np.asarray(self.weights @ by_row / self.weights.sum(axis=1))

    def mean(self, metric: Callable[[Scores], Floats], threshold: float | None = None) -> Floats:
        """Return the mean over repeats [1 + resamples] of a metric of scores."""
        return np.asarray(np.mean([metric(scores) for scores in self.scores(threshold)], axis=0))
