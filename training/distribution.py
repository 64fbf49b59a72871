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
CONFIDENCE_LEVEL = 0.999


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
    """Return the quantile of the chi-square distribution by number of bins; a single bin cannot drift."""
    numbers = sorted({len(feature.names) for feature in bins.values()})
    return {number: round(float(chi2.ppf(CONFIDENCE_LEVEL, max(number - 1, 1))), 3) for number in numbers}


def _category(feature: CategoryFeature, column: Matrix) -> CategoryDistribution:
    shares = {name: float(np.mean(column == code)) for name, code in feature.codes.items()}
    return CategoryDistribution(shares=shares, missing=float(np.mean(np.isnan(column))))


def _number(column: Matrix) -> NumberDistribution:
    """Cut a number at its quantiles into at most five bins, none of them empty.

    Numbers become the shortest decimal that is the same float32 (2.3, not 2.299999952).
    """
    present = column[~np.isnan(column)]
    quantiles = np.quantile(present, np.arange(1, BINS) / BINS, method="inverted_cdf")
    edges = np.unique(quantiles[quantiles < present.max()])
    counts = np.bincount(np.searchsorted(edges, present), minlength=len(edges) + 1)
    return NumberDistribution(
        minimum=_decimal(present.min()),
        maximum=_decimal(present.max()),
        mean=float(present.mean(dtype=np.float64)),
        edges=[_decimal(edge) for edge in edges],
        shares=[float(count) / len(column) for count in counts],
        missing=float(np.mean(np.isnan(column))),
    )


def _decimal(value: np.float32) -> float:
    return float(str(value))
