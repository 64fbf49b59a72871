"""The reference distribution of each feature and of the score, for warnings and for drift."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from bundle.bins import Bins
from bundle.declaration import Declaration
from bundle.distributions import CategoryDistribution, NumberDistribution
from bundle.encoding import Matrix
from bundle.features import CategoryFeature

BINS = 5
LEEWAY = 0.05
"""By what share of the values a cut may leave its quantile, to keep away from a frequent value."""

FALSE_ALARMS_A_YEAR = 1
"""How many alerts on drift a model may have in a year of rows like its training data, at most."""

LOOKS_A_YEAR = 365 * 24 * 60 * 3 // 2
"""Windows that are judged in a year: that of an hour each minute, that of a day every two."""

COMPARISONS = 4
"""What is judged of a feature: its index, missing values, values out of range, and rejected ones.

The score has only an index; the mix of predictions takes the place of the others.
"""

ALWAYS = (2, 5)
"""Bins whose quantile rules need for every model: of one share, and of the ends of a range."""


def describe(
    declaration: Declaration, matrix: Matrix
) -> dict[str, NumberDistribution | CategoryDistribution]:
    """Return the distribution of each column of a training matrix, by feature name."""
    return {
        feature.name: _category(feature, column) if isinstance(feature, CategoryFeature) else _number(column)
        for feature, column in zip(declaration.features, matrix.T, strict=True)
    }


def describe_score(scores: NDArray[np.float64]) -> NumberDistribution:
    """Return the distribution of the scores [rows] of out-of-fold rows."""
    return _number(scores.astype(np.float32))


def quantiles(bins: Mapping[str, Bins]) -> dict[int, float]:
    """Return the quantile of the chi-square distribution by number of bins; a single bin cannot drift.

    Its level holds for a year and for the whole model: were all comparisons of a year independent or not,
    rows like the training data would pass it so many times on average (Boole's inequality).
    """
    level = FALSE_ALARMS_A_YEAR / (LOOKS_A_YEAR * COMPARISONS * len(bins))
    numbers = sorted({len(feature.names) for feature in bins.values()} | {*ALWAYS})
    return {number: round(float(chi2.isf(level, max(number - 1, 1))), 3) for number in numbers}


def _category(feature: CategoryFeature, column: Matrix) -> CategoryDistribution:
    shares = {name: float(np.mean(column == code)) for name, code in feature.encoded.items()}
    return CategoryDistribution(shares=shares, missing=float(np.mean(np.isnan(column))))


def _number(column: Matrix) -> NumberDistribution:
    """Cut a number near its quantiles into at most five bins, none of them empty.

    Numbers become the shortest decimal that is the same float32 (2.3, not 2.299999952).
    """
    present = column[~np.isnan(column)]
    edges = _edges(present)
    counts = np.bincount(np.searchsorted(edges, present), minlength=len(edges) + 1)
    return NumberDistribution(
        minimum=_decimal(present.min()),
        maximum=_decimal(present.max()),
        mean=float(present.mean(dtype=np.float64)),
        edges=[_decimal(edge) for edge in edges],
        shares=[float(count) / len(column) for count in counts],
        missing=float(np.mean(np.isnan(column))),
    )


def _edges(present: Matrix) -> Matrix:
    """Return where to cut values: near quantiles, halfway between two values, and away from frequent ones.

    Where many rows share a value, as round ones of a blood pressure, a cut beside it would move all of them
    into another bin with the smallest shift.
    """
    values, counts = np.unique(present, return_counts=True)
    shares = counts / len(present)
    below = np.cumsum(shares)[:-1]
    low, high = np.quantile(present, (1 / BINS, 1 - 1 / BINS), method="inverted_cdf")
    between = _halfway(values[:-1], values[1:])
    chosen = set()
    for quantile in np.arange(1, BINS) / BINS if len(between) else ():
        off = np.abs(below - quantile)
        places = np.flatnonzero(off <= max(LEEWAY, off.min()))
        beside = [_most(values, shares, between[place], (high - low) / 20) for place in places]
        chosen.add(int(places[np.argmin(off[places] + beside)]))
    return between[sorted(chosen)]


def _halfway(lower: Matrix, upper: Matrix) -> Matrix:
    """Return the middle of each two values, as decimals; the lower one, where no float32 lies between.

    Between whole numbers it is a whole number.
    """
    decimals = [values.astype(str).astype(np.float64) for values in (lower, upper)]
    middle = ((decimals[0] + decimals[1]) / 2).astype(np.float32)
    if np.array_equal(decimals[0], np.floor(decimals[0])):
        middle = np.floor(middle)
    return np.where(middle < upper, middle, lower)


def _most(values: Matrix, shares: NDArray[np.float64], cut: np.float32, distance: np.float32) -> float:
    """Return the largest share of a single value within this distance of a cut."""
    first, last = np.searchsorted(values, (cut - distance, cut + distance))
    return float(shares[first:last].max(initial=0))


def _decimal(value: np.float32) -> float:
    return float(str(value))
