"""What monitoring/rules/drift.yaml computes, by numpy: of many windows at once, for simulations.

`live` has the rows of windows [windows, bins], `reference` those of the training data [bins]; `rows` and
`known` are their sums. A quantile is that of the chi-square distribution by the number of bins.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Rows = NDArray[np.integer] | np.integer | int

LEAST_ROWS = 300
HALF_A_ROW = 0.5
WARNING, STRONG = 0.1, 0.25
LEAST_EXCESS = 0.05
"""Of missing values, of values out of range, and of rejected ones."""

LEAST_SHIFT, LEAST_ANSWERS = 0.1, 100
"""Of the share of a predicted class, and how many there must be in the hour."""


def index(live: NDArray[np.integer], reference: Floats) -> Floats:
    """Return the population stability index of each window."""
    counts = live + HALF_A_ROW
    p = counts / counts.sum(axis=-1, keepdims=True)
    q = (reference + HALF_A_ROW) / (reference + HALF_A_ROW).sum()
    return np.asarray(((p - q) * np.log(p / q)).sum(axis=-1))


def variance(rows: Floats, known: float) -> Floats:
    return 1 / rows + 1 / known


def between_shares(share: Floats, other: Floats | float, factor: Floats | float) -> Floats:
    """Return what has chi-square's distribution where two shares differ by chance; 1 / factor rows each."""
    return 4 * (np.arcsin(np.sqrt(share)) - np.arcsin(np.sqrt(other))) ** 2 / factor


def range_chance(rows: Floats, known: float, quantile_of_five: float) -> Floats:
    """Return the share of values beyond the training range that chance explains."""
    return 0.5 * quantile_of_five / (rows * np.log1p(known / rows))


@dataclass(frozen=True)
class YearlyRules:
    """The shipped alerts: by the quantiles of a bundle, whose level holds for a year and for the model."""

    quantiles: dict[int, float]

    def drifts(self, found: Floats, rows: Floats, known: float, bins: int) -> NDArray[np.bool_]:
        return found > np.maximum(WARNING, self.quantiles[bins] * variance(rows, known))

    def misses(self, share: Floats, expected: float, rows: Floats, known: float) -> NDArray[np.bool_]:
        unlike = between_shares(share, expected, variance(rows, known)) > self.quantiles[2]
        return unlike & (share - expected > LEAST_EXCESS)

    def leaves_range(self, share: Floats, rows: Floats, known: float) -> NDArray[np.bool_]:
        return share > np.maximum(LEAST_EXCESS, range_chance(rows, known, self.quantiles[5]))

    def rejects(self, share: Floats, rows: Floats) -> NDArray[np.bool_]:
        unlike = between_shares(share, LEAST_EXCESS, 1 / rows) > self.quantiles[2]
        return unlike & (share > LEAST_EXCESS)

    def shifts(self, share: Floats, expected: float, rows: Floats, known: float) -> NDArray[np.bool_]:
        unlike = between_shares(share, expected, variance(rows, known)) > self.quantiles[2]
        return unlike & (np.abs(share - expected) > LEAST_SHIFT)


@dataclass(frozen=True)
class FormerRules:
    """The alerts as they were: at the 99.9 % quantile, or four standard errors, of one window."""

    quantiles: dict[int, float]

    def drifts(self, found: Floats, rows: Floats, known: float, bins: int) -> NDArray[np.bool_]:
        return found > np.maximum(WARNING, self.quantiles[bins] * variance(rows, known))

    def misses(self, share: Floats, expected: float, rows: Floats, known: float) -> NDArray[np.bool_]:
        error = np.sqrt(expected * (1 - expected) * variance(rows, known))
        return np.asarray(share - expected > np.maximum(LEAST_EXCESS, 4 * error))

    def leaves_range(self, share: Floats, _rows: Floats, known: float) -> NDArray[np.bool_]:
        return np.asarray(share > max(LEAST_EXCESS, 9.23 / known))

    def rejects(self, share: Floats, _rows: Floats) -> NDArray[np.bool_]:
        return np.asarray(share > LEAST_EXCESS)

    def shifts(self, share: Floats, expected: float, rows: Floats, _known: float) -> NDArray[np.bool_]:
        error = np.sqrt(expected * (1 - expected) / rows)
        return np.asarray(np.abs(share - expected) > np.maximum(LEAST_SHIFT, 4 * error))


@dataclass(frozen=True)
class ApartRules(YearlyRules):
    """An alternative: the errors of the reference, drawn once, and of windows add as distances."""

    of_reference: dict[int, float]

    def drifts(self, found: Floats, rows: Floats, known: float, bins: int) -> NDArray[np.bool_]:
        distance = np.sqrt(self.of_reference[bins] / known) + np.sqrt(self.quantiles[bins] / rows)
        return np.asarray(found > np.maximum(WARNING, distance**2))


Rules = YearlyRules | FormerRules | ApartRules
