"""Answers the expressions of panels from what this process counted, as Prometheus would.

Values [moments] stand by their labels. Unlike Prometheus' rates, these do not extrapolate, and a series that
appears began at 0.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitoring.panels.expressions import (
    Aggregate,
    AtLeast,
    ByBin,
    Divided,
    Enough,
    Expression,
    Increase,
    OrZero,
    OrZeroWhile,
    Percentile,
    Positive,
    Rate,
    Ratio,
    Selector,
    WhileUp,
)
from serving.console.live.history import Past

Labels = tuple[tuple[str, str], ...]
"""Names and values, by name."""

Values = NDArray[np.float64]
Vector = dict[Labels, Values]

MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)("(?:[^"\\]|\\.)*")')
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
AGGREGATES: dict[str, Callable[[list[Values]], Values]] = {
    "sum": lambda series: np.nansum(series, axis=0),
    "min": np.fmin.reduce,
    "max": np.fmax.reduce,
}


class UnansweredError(Exception):
    """What this process does not know; the sentence says who does."""


def evaluate(expression: Expression, past: Past) -> Vector:
    """Return the values at each moment, NaN for none; UnansweredError where this process does not know."""
    return ANSWERS[type(expression)](expression, past)


def selected(expression: Selector, past: Past) -> Vector:
    if expression.name in past.recorded:
        matches = matcher_of(expression)
        found = past.recorded[expression.name]
        return {labels: values for labels, values in found.items() if matches(dict(labels))}
    return {labels: past.values[:, column] for labels, column in select(expression, past)}


def increased(expression: Increase, past: Past) -> Vector:
    return increase(expression.of, seconds_of(expression.window), past)


def positive(expression: Positive, past: Past) -> Vector:
    found = evaluate(expression.of, past)
    return {labels: np.where(values > 0, values, np.nan) for labels, values in found.items()}


def or_zero(expression: OrZero | OrZeroWhile, past: Past) -> Vector:
    return evaluate(expression.of, past) or {(): np.zeros(len(past.times))}


def while_up(expression: WhileUp, past: Past) -> Vector:
    return evaluate(expression.of, past)


def at_least(expression: AtLeast, past: Past) -> Vector:
    found = evaluate(expression.of, past)
    return {labels: np.maximum(values, expression.least) for labels, values in found.items()}


def divided(expression: Divided, past: Past) -> Vector:
    found = evaluate(expression.of, past)
    return {labels: values / expression.by for labels, values in found.items()}


def enough(expression: Enough, past: Past) -> Vector:
    rows = evaluate(expression.rows, past)
    none = np.zeros(len(past.times))
    return {
        labels: np.where(rows.get(only(labels, expression.rows.by), none) >= expression.least, values, np.nan)
        for labels, values in evaluate(expression.of, past).items()
    }


def select(selector: Selector, past: Past) -> Iterator[tuple[Labels, int]]:
    """Yield labels and column of each series that matches."""
    if selector.name in past.left_out:
        raise UnansweredError(
            "This model has more values than a process keeps: set PROMETHEUS_URL to see these."
        )
    if selector.recorded:
        raise UnansweredError("Only Prometheus knows this: set PROMETHEUS_URL to see it.")
    names = past.labels.get(selector.name, ())
    matches = matcher_of(selector)
    for values, column in past.columns.get(selector.name, {}).items():
        labels = dict(zip(names, values, strict=True))
        if matches(labels):
            yield tuple(sorted(labels.items())), column


def matcher_of(selector: Selector) -> Callable[[dict[str, str]], bool]:
    tests: list[tuple[str, bool, re.Pattern[str]]] = []
    for name, operator, text in MATCHER.findall(", ".join(selector.matchers)):
        value = json.loads(text)
        pattern = re.compile(value if "~" in operator else re.escape(value))
        tests.append((name, operator.startswith("="), pattern))

    def matches(labels: dict[str, str]) -> bool:
        return all(
            (pattern.fullmatch(labels.get(name, "")) is not None) is wanted for name, wanted, pattern in tests
        )

    return matches


def seconds_of(window: str) -> int:
    return int(window[:-1]) * UNITS[window[-1]]


def counted(values: Values) -> Values:
    """Return a counter [moments] as if it never began anew: NaN is what it was before, or 0."""
    known = ~np.isnan(values)
    latest = np.maximum.accumulate(np.where(known, np.arange(len(values)), -1))
    filled = np.where(latest < 0, 0.0, values[latest])
    steps = np.diff(filled)
    return np.concatenate(([0.0], np.cumsum(np.where(steps < 0, filled[1:], steps))))


def began(seconds: int, past: Past) -> NDArray[np.intp]:
    """Return for each moment the first of its window: an earlier one, but for the first of all."""
    first = np.searchsorted(past.times, past.times - seconds - 0.5)
    return np.maximum(np.minimum(first, np.arange(len(past.times)) - 1), 0)


def increase(selector: Selector, seconds: int, past: Past) -> Vector:
    begin = began(seconds, past)
    found: Vector = {}
    for labels, column in select(selector, past):
        total = counted(past.values[:, column])
        found[labels] = np.where(begin < np.arange(len(total)), total - total[begin], np.nan)
    return found


def rate(expression: Rate, past: Past) -> Vector:
    seconds = seconds_of(expression.window)
    lasting = past.times - past.times[began(seconds, past)]
    with np.errstate(divide="ignore", invalid="ignore"):
        return {labels: values / lasting for labels, values in increase(expression.of, seconds, past).items()}


def aggregate(expression: Aggregate, past: Past) -> Vector:
    groups: dict[Labels, list[Values]] = {}
    for labels, values in evaluate(expression.of, past).items():
        groups.setdefault(only(labels, expression.by), []).append(values)
    found: Vector = {}
    for labels, series in groups.items():
        together = AGGREGATES[expression.operator](series)
        found[labels] = np.where(np.isnan(series).all(axis=0), np.nan, together)
    return found


def only(labels: Labels, names: tuple[str, ...]) -> Labels:
    return tuple((name, value) for name, value in labels if name in names)


def without(labels: Labels, names: tuple[str, ...]) -> Labels:
    return tuple((name, value) for name, value in labels if name not in names)


def ratio(expression: Ratio, past: Past) -> Vector:
    wholes = evaluate(expression.whole, past)
    found: Vector = {}
    with np.errstate(divide="ignore", invalid="ignore"):
        for labels, part in evaluate(expression.part, past).items():
            whole = wholes.get(without(labels, expression.across))
            if whole is not None:
                found[labels] = part / whole
    return found


def percentile(expression: Percentile, past: Past) -> Vector:
    """Interpolate within the bucket that has the percentile, as histogram_quantile does."""
    share, buckets = expression.percent / 100, evaluate(expression.of, past)
    histograms: dict[Labels, list[tuple[float, Values]]] = {}
    for labels, values in buckets.items():
        bound = float(dict(labels)["le"])
        histograms.setdefault(without(labels, ("le",)), []).append((bound, values))
    return {labels: quantile(share, *sorted_buckets(found)) for labels, found in histograms.items()}


def sorted_buckets(found: list[tuple[float, Values]]) -> tuple[Values, Values]:
    """Return the bounds [buckets], ascending, and the counts up to each [buckets, moments]."""
    found.sort(key=lambda bucket: bucket[0])
    return np.array([bound for bound, _ in found]), np.array([values for _, values in found])


def quantile(share: float, bounds: Values, counts: Values) -> Values:
    moments = np.arange(counts.shape[1])
    total = counts[-1]
    rank = share * total
    place = np.minimum((counts < rank).sum(axis=0), len(bounds) - 1)
    lower = np.where(place > 0, bounds[place - 1], 0.0)
    below = np.where(place > 0, counts[place - 1, moments], 0.0)
    highest = bounds[-2] if len(bounds) > 1 else np.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        inside = lower + (bounds[place] - lower) * (rank - below) / (counts[place, moments] - below)
        value = np.where(np.isinf(bounds[place]), highest, inside)
    return np.where(total > 0, value, np.nan)


def by_bin(expression: ByBin, past: Past) -> Vector:
    values = Aggregate("max", expression.of, by=("model_version", "bin"))
    found: Vector = {}
    for labels, series in evaluate(values, past).items():
        shown = dict(labels)
        version, name = shown.get("model_version", ""), shown.get("bin", "")
        found[("bin", f"{version} {name}"), ("model_version", version)] = series
    return found


ANSWERS: dict[type[Expression], Callable[[Any, Past], Vector]] = {
    Selector: selected,
    Rate: rate,
    Increase: increased,
    Aggregate: aggregate,
    Percentile: percentile,
    Positive: positive,
    OrZero: or_zero,
    OrZeroWhile: or_zero,
    Ratio: ratio,
    WhileUp: while_up,
    AtLeast: at_least,
    Divided: divided,
    Enough: enough,
    ByBin: by_bin,
}
