"""Confidence intervals of metrics, for panels and for alerts.

Panels show Wilson's score interval of a proportion ("Probable inference", 1927). Alerts look at every window
of every day, far from the estimate, where Wilson's is too narrow for rates near 0 and 1. They read the
likelihood-ratio interval, whose error is bounded at any number of rows: n * KL(p, bound) <= z * z / 2
(Chernoff, 1952). A mean has a normal interval whose spread includes one error of 0 and one of 1.
"""

import math
from dataclasses import dataclass

SHOWN, REFERENCE, EARLIER, ALERTED = "0.95", "0.999", "0.99", "0.99999"
"""Confidence levels: of panels, of card and shares, of earlier outcomes, and of what alerts compare."""

NORMAL_QUANTILES = {SHOWN: 1.959964, EARLIER: 2.575829, REFERENCE: 3.290527, ALERTED: 4.417173}
"""Confidence level -> quantile."""

HALVINGS = 40
"""A bound is found to within 2**-40."""

Interval = tuple[float, float]


@dataclass(frozen=True)
class Estimate:
    """A metric, and its confidence interval by confidence level."""

    value: float
    intervals: dict[str, Interval]


def wilson(part: float, whole: float, z: float) -> Interval:
    """Return Wilson's interval of part / whole; `whole` is not 0."""
    centre = (part + z * z / 2) / (whole + z * z)
    half_width = z / (whole + z * z) * math.sqrt(part * (whole - part) / whole + z * z / 4)
    # at 0 and 1, rounding would leave the estimate outside
    lower, upper = min(centre - half_width, part / whole), max(centre + half_width, part / whole)
    return max(lower, 0.0), min(upper, 1.0)


def likelihood_ratio(part: float, whole: float, z: float) -> Interval:
    """Return the likelihood-ratio interval of part / whole; `whole` is not 0."""
    return 1 - _upper(whole - part, whole, z), _upper(part, whole, z)


def _upper(part: float, whole: float, z: float) -> float:
    """Return the largest probability that the observed share is not too far below."""
    low, high = part / whole, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if _deviance(part, whole, middle) > z * z / 2:
            high = middle
        else:
            low = middle
    return high


def _deviance(part: float, whole: float, probability: float) -> float:
    """Return whole * KL(part / whole, probability)."""
    if probability >= 1:
        return 0.0 if part == whole else math.inf
    rest = whole - part
    hits = part * math.log(part / (whole * probability)) if part else 0.0
    return hits + (rest * math.log(rest / (whole * (1 - probability))) if rest else 0.0)


def proportion(part: int, whole: int) -> Estimate:
    """Return part / whole with the intervals of panels and of alerts; `whole` is not 0."""
    intervals = {level: wilson(part, whole, NORMAL_QUANTILES[level]) for level in (SHOWN, EARLIER)}
    intervals[ALERTED] = likelihood_ratio(part, whole, NORMAL_QUANTILES[ALERTED])
    return Estimate(part / whole, intervals)


def mean(total: float, squares: float, rows: int) -> Estimate:
    """Return total / rows of squared errors, with intervals from their sum of squares."""
    levels = (SHOWN, EARLIER, ALERTED)
    return Estimate(
        total / rows,
        {level: mean_interval(total, squares, rows, NORMAL_QUANTILES[level]) for level in levels},
    )


def mean_interval(total: float, squares: float, rows: int, z: float) -> Interval:
    """Return the interval of total / rows; one error of 0 and one of 1 more give few rows a width."""
    more = rows + 2
    variance = ((squares + 1) / more - ((total + 1) / more) ** 2) * more / (more - 1)
    half_width = z * math.sqrt(variance / more)
    return total / rows - half_width, total / rows + half_width
