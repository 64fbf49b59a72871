"""Evidence against a candidate, and how much of it chance explains when many comparisons are made."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from training.metrics import Floats


@dataclass(frozen=True)
class Evidence:
    """How many standard errors a difference lies in the wrong direction, and the reason to give for it."""

    z: float
    reason: str


def beyond_chance(evidence: Sequence[Evidence], error_rate: float) -> list[Evidence]:
    """Return what Holm's procedure rejects, the strongest first.

    With that probability, at most, any of it is chance (Holm, "A simple sequentially rejective multiple test
    procedure", Scandinavian Journal of Statistics 6, 1979).
    """
    ordered = sorted(evidence, key=lambda item: -item.z)
    for number, item in enumerate(ordered):
        if norm.sf(item.z) > error_rate / (len(ordered) - number):
            return ordered[:number]
    return ordered


def largest_by_chance(deviations: Floats, error_rate: float) -> float:
    """Return what the largest of several standardised statistics exceeds with that probability.

    `deviations` are those of resamples [resamples, statistics], around their own mean and by their own
    standard deviation: correlated statistics need less correction (the max-statistic of Westfall and Young).
    """
    return float(np.quantile(np.nanmax(deviations, axis=1), 1 - error_rate))
