"""The bins in which training and the server count the values of a feature.

A number has at most five, cut at the training data's quantiles. A category has one for each value; rare ones,
of less than 5 % of the training data each, share bins with their neighbours in declared order: as many bins
as they fill with 5 % each, ten at most. Values that are not listed, where a category takes them, have one of
their own; a nullable feature has one for missing values.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bundle.distributions import CategoryDistribution, Distributions, NumberDistribution
from bundle.features import UNLISTED, CategoryFeature, Feature

LEAST_SHARE = 0.05
MOST_SHARED_BINS = 10
MISSING, OTHERS = "(missing)", "(others)"

SCORE = "score"
"""Name under which the score is counted like a feature: see bundle/score.py."""


@dataclass(frozen=True)
class Bins:
    """The bins of one feature: their names, and the share of the training data's rows in each.

    A value belongs to the first of the ascending `bounds` that is greater; a missing value (NaN) comes after
    the last, as numpy sorts. `places` has the bin of each bound, then that of missing values. Rounding to
    float32 makes no difference.
    """

    names: list[str]
    shares: list[float]
    bounds: list[float]
    places: list[int]

    def count(self, values: NDArray[np.floating]) -> NDArray[np.intp]:
        """Return how many values [rows] fall into each bin [bins]; NaN is a missing value."""
        places = np.take(self.places, np.searchsorted(self.bounds, values, side="right"))
        return np.bincount(places, minlength=len(self.names))


def all_bins(
    features: Iterable[Feature], distribution: Distributions, score: NumberDistribution
) -> dict[str, Bins]:
    """Return the bins of each feature by its name, and last those of the score."""
    bins = {feature.name: feature_bins(feature, distribution[feature.name]) for feature in features}
    return bins | {SCORE: number_bins(score, nullable=False)}


def feature_bins(feature: Feature, distribution: NumberDistribution | CategoryDistribution) -> Bins:
    if isinstance(feature, CategoryFeature) and isinstance(distribution, CategoryDistribution):
        return category_bins(feature, distribution)
    if isinstance(distribution, NumberDistribution):
        return number_bins(distribution, nullable=feature.nullable)
    raise TypeError(f"the distribution of {feature.name} is not one of a {feature.type}")


def number_bins(distribution: NumberDistribution, *, nullable: bool) -> Bins:
    """Return right-closed bins, numbered so that their names sort as they do."""
    edges = distribution.edges
    names = [f"{number}: <= {edge:.9g}" for number, edge in enumerate(edges, 1)]
    names.append(f"{len(edges) + 1}: > {edges[-1]:.9g}" if edges else "1: all")
    shares = [*distribution.shares]
    places = list(range(len(names)))
    if nullable:
        places.append(len(names))
        names.append(MISSING)
        shares.append(distribution.missing)
    return Bins(names, shares, [*map(_bound, edges), float("inf")], places)


def category_bins(feature: CategoryFeature, distribution: CategoryDistribution) -> Bins:
    """Return a bin for each frequent value, in declared order, and the ones that rare values share."""
    rare = {
        name: share for name, share in distribution.shares.items() if share < LEAST_SHARE and name != UNLISTED
    }
    shared = _shared_bins(rare) if len(rare) > 1 else {}
    totals = {name: share for name, share in distribution.shares.items() if name not in shared}
    for name, together in shared.items():
        totals[together] = totals.get(together, 0.0) + distribution.shares[name]
    names = list(totals)
    by_code = sorted((float(code), shared.get(name, name)) for name, code in feature.encoded.items())
    places = [names.index(name) for _, name in by_code]
    if feature.nullable:
        places.append(len(names))
        totals[MISSING] = distribution.missing
    return Bins(list(totals), list(totals.values()), [_bound(code) for code, _ in by_code], places)


def _shared_bins(rare: dict[str, float]) -> dict[str, str]:
    """Return the name of the bin of each rare value: a shift among several is seen, within one it is not."""
    shares = np.array(list(rare.values()))
    count = min(int(shares.sum() / LEAST_SHARE), MOST_SHARED_BINS)
    if count <= 1:
        return dict.fromkeys(rare, OTHERS)
    middles = np.cumsum(shares) - shares / 2
    numbers = np.minimum((middles / shares.sum() * count).astype(int), count - 1)
    found: dict[str, str] = {}
    for number in range(count):
        values = [name for name, place in zip(rare, numbers, strict=True) if place == number]
        together = f"(others: {values[0]} to {values[-1]})" if len(values) > 1 else values[0]
        found |= dict.fromkeys(values, together)
    return found


def _bound(edge: float) -> float:
    """Return the lowest float64 that is rounded to a float32 above the edge's."""
    rounded = np.float32(edge)
    halfway = (float(rounded) + float(np.nextafter(rounded, np.float32(np.inf)))) / 2
    return halfway if np.float32(halfway) > rounded else math.nextafter(halfway, math.inf)
