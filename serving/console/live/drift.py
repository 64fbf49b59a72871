"""What rules record of drift, computed from what this process counted (monitoring/rules/drift.yaml)."""

from collections.abc import Callable

import numpy as np

from monitoring.panels.expressions import Aggregate, Increase, Selector
from serving.console.live.history import KEPT_SECONDS, Past
from serving.console.live.values import Labels, Values, Vector, evaluate, without

REFERENCE = ("model", "model_version", "reference")
FEATURE = (*REFERENCE, "feature")
BIN = (*FEATURE, "bin")
BASES = (
    "feature_reference_rows",
    "feature_chi_square_quantile",
    "feature_rejected_total",
    "feature_out_of_range_total",
    "feature_reference_share",
    "feature_values_total",
)
"""What rules record drift from."""

LEAST_ROWS = 300
TOO_FEW = f"There are fewer than {LEAST_ROWS} rows: too few to tell drift from chance."
OF_ENOUGH = frozenset(
    {
        "job:feature_values:share1h",
        "job:feature:psi1h",
        "job:feature_rejected:share1h",
        "job:feature_out_of_range:share1h",
    }
)
"""What there is of so many rows only."""

HALF_A_ROW = 0.5
"""What each bin gets more, so that none is empty."""


def record(past: Past) -> dict[str, Vector]:
    """Return by name what rules would have recorded over the whole time that is kept."""
    if past.left_out.intersection(BASES):
        return {}
    rows = largest("feature_reference_rows", REFERENCE, past)
    counted = grown("feature_values_total", BIN, past)
    shares = largest("feature_reference_share", BIN, past)
    bins = numbers(shares)
    values = added(counted)
    live = {
        labels: (count + HALF_A_ROW) / (enough(values[of(labels)]) + HALF_A_ROW * bins[of(labels)])
        for labels, count in counted.items()
        if of(labels) in bins
    }
    reference = {
        labels: (share * rows[reference_of(labels)] + HALF_A_ROW)
        / (HALF_A_ROW * bins[of(labels)] + rows[reference_of(labels)])
        for labels, share in shares.items()
    }
    rejected, outside = (
        grown(f"feature_{name}_total", FEATURE, past) for name in ("rejected", "out_of_range")
    )
    return {
        "job:feature_values:share1h": live,
        "job:feature_reference:share": reference,
        "job:feature_rows:increase1h": values,
        "job:feature:psi1h": stability(live, reference),
        "job:feature:psi_chance1h": chance(bins, values, rows, past),
        "job:feature_rejected:share1h": part(rejected, lambda labels: rejected[labels] + values[labels]),
        "job:feature_out_of_range:share1h": part(outside, lambda labels: values[labels]),
    }


def stability(live: Vector, reference: Vector) -> Vector:
    """Return the population stability index of each feature."""
    return added(
        {
            labels: (share - reference[labels]) * np.log(share / reference[labels])
            for labels, share in live.items()
        }
    )


def chance(bins: dict[Labels, int], values: Vector, rows: Vector, past: Past) -> Vector:
    """Return the index that chance explains; none under 300 rows."""
    quantiles = largest("feature_chi_square_quantile", (*REFERENCE, "bins"), past)
    found: Vector = {}
    for labels, number in bins.items():
        quantile = quantiles.get(tuple(sorted((*reference_of(labels), ("bins", str(number))))))
        if quantile is not None and labels in values:
            variance = 1 / enough(values[labels]) + 1 / rows[reference_of(labels)]
            found[labels] = quantile * variance
    return found


def part(counted: Vector, whole: Callable[[Labels], Values]) -> Vector:
    return {labels: values / enough(whole(labels)) for labels, values in counted.items()}


def enough(rows: Values) -> Values:
    return np.where(rows >= LEAST_ROWS, rows, np.nan)


def grown(name: str, by: tuple[str, ...], past: Past) -> Vector:
    return evaluate(Aggregate("sum", Increase(Selector(name), f"{KEPT_SECONDS}s"), by), past)


def largest(name: str, by: tuple[str, ...], past: Past) -> Vector:
    return evaluate(Aggregate("max", Selector(name), by), past)


def added(by_bin: Vector) -> Vector:
    sums: Vector = {}
    for labels, values in by_bin.items():
        sums[of(labels)] = sums[of(labels)] + values if of(labels) in sums else values
    return sums


def numbers(by_bin: Vector) -> dict[Labels, int]:
    """Return how many bins each feature has."""
    found: dict[Labels, int] = {}
    for labels in by_bin:
        found[of(labels)] = found.get(of(labels), 0) + 1
    return found


def of(labels: Labels) -> Labels:
    return without(labels, ("bin",))


def reference_of(labels: Labels) -> Labels:
    return without(labels, ("bin", "feature"))
