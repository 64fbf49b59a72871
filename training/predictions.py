"""Labels and predicted probabilities of the same rows, and their metrics in every resample."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from bundle.declaration import Declaration
from training.cells import resamples_of
from training.metrics import Floats, Labels, Scores
from training.resampling import Resamples

RowMetric = Callable[[Labels, Floats, float | None], Floats]


@dataclass(frozen=True)
class Sample:
    """Labels [rows], probabilities [repeats, rows, classes], and weights [some resamples, rows]."""

    declaration: Declaration
    labels: Labels
    probabilities: Floats
    weights: Floats

    def scores(self, threshold: float | None = None) -> list[Scores]:
        """Return the scores of each repeat, with the declared threshold or another."""
        threshold = threshold or self.declaration.threshold or 0.0
        return [Scores(self.labels, repeat[:, 1], self.weights, threshold) for repeat in self.probabilities]

    def mean(self, metric: Callable[[Scores], Floats], threshold: float | None = None) -> Floats:
        """Return the mean over repeats [some resamples] of a metric of scores."""
        return np.asarray(np.mean([metric(scores) for scores in self.scores(threshold)], axis=0))

    def mean_by_row(self, metric: RowMetric) -> Floats:
        """Return the mean over rows [some resamples] of a metric that each row has."""
        threshold = self.declaration.threshold
        by_row = np.mean([metric(self.labels, repeat, threshold) for repeat in self.probabilities], axis=0)
        return self.ratio(by_row, np.ones(len(self.labels)))

    def ratio(self, part: Floats, whole: Floats) -> Floats:
        """Return the sum over rows [some resamples] of one value of each row, divided by that of another."""
        with np.errstate(invalid="ignore"):  # a resample may hold no such row
            return np.asarray(self.weights @ part / (self.weights @ whole))


@dataclass(frozen=True)
class Predictions:
    """Labels [rows], probabilities [repeats, rows, classes], and resamples of the rows, if there are any."""

    declaration: Declaration
    labels: Labels
    probabilities: Floats
    resamples: Resamples | None

    @classmethod
    def of(cls, declaration: Declaration, labels: Labels, probabilities: Floats) -> Self:
        """Return the predictions of all rows, with their resamples."""
        return cls(declaration, labels, probabilities, resamples_of(declaration, labels, [probabilities]))

    @classmethod
    def pair(
        cls, declaration: Declaration, labels: Labels, first: Floats, second: Floats
    ) -> tuple[Self, Self]:
        """Return the predictions of two versions for the same rows, in the same resamples."""
        resamples = resamples_of(declaration, labels, [first, second])
        return cls(declaration, labels, first, resamples), cls(declaration, labels, second, resamples)

    def select(self, member: NDArray[np.bool_]) -> Self:
        """Return the predictions of the rows that belong to a group [rows]."""
        return replace(
            self,
            labels=self.labels[member],
            probabilities=self.probabilities[:, member],
            resamples=self.resamples and self.resamples.select(member),
        )

    def mean(self, metric: Callable[[Scores], Floats], threshold: float | None = None) -> Floats:
        """Return the mean over repeats [1 + resamples] of a metric of scores."""
        return self.resampled(lambda sample: sample.mean(metric, threshold))

    def mean_by_row(self, metric: RowMetric) -> Floats:
        """Return the mean over rows [1 + resamples] of a metric that each row has."""
        return self.resampled(lambda sample: sample.mean_by_row(metric))

    def resampled(self, metric: Callable[[Sample], Floats]) -> Floats:
        """Return a metric of all rows and of every resample [..., 1 + resamples].

        Where cells are resampled, it is that of all rows, moved by as much as that of cells moves.
        """
        estimate = metric(self._sample(slice(None), np.ones((1, len(self.labels)))))
        if self.resamples is None:
            return estimate
        units, sizes = self.resamples.units, self.resamples.sizes
        offset = 0 if sizes is None else estimate - metric(self._sample(units, sizes[None]))
        return np.concatenate(
            [estimate, *(metric(self._sample(units, chunk)) + offset for chunk in self.resamples.chunks())],
            axis=-1,
        )

    def _sample(self, units: Labels | slice, weights: Floats) -> Sample:
        return Sample(self.declaration, self.labels[units], self.probabilities[:, units], weights)
