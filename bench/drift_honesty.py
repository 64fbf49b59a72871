"""How many alerts on drift a year of rows like the training data raises, and how soon a shift is told.

Streams are simulated minute by minute: the rows of each bin are Poisson, by the shares of the shipped
bundles, and so are those beyond the range, without a value, rejected, and of a class. References are drawn
from the same shares, as many rows as the bundle has. Features are drawn by themselves. An episode is a time
in which an alert fires without a break; it goes on for ten minutes after its last cause.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from bench import drift_shifts
from bench.drift import MODELS, PAGE, ranges_of
from bench.drift_rules import (
    HALF_A_ROW,
    LEAST_ANSWERS,
    LEAST_ROWS,
    ApartRules,
    Floats,
    Rules,
    YearlyRules,
    index,
)
from bench.drift_shifts import DAY, FORMER, HOUR
from bench.load import PROJECT
from bench.tables import with_tables
from bundle.bins import MISSING, SCORE, all_bins
from serving.inference.catalogue import load_model

RESULTS = PROJECT / "docs" / "drift-honesty.json"
MINUTES = 365 * 24 * 60
STEP = {HOUR: 1, DAY: 2}
"""A window is judged so often, in minutes."""

KEPT_FIRING = 10
HONEST_REJECTED = 0.04
"""What clients may always have had rejected, without an alert: a little less than 5 %."""

RATES = (30, 300, 500, 1_000, 10_000, 100_000)
YEARS = {"heart-disease": 20, "churn": 3, "iris": 5}
"""By model, each with a reference of its own."""

FEWER_YEARS, MANY_ROWS = 6, 1_000
"""So many at most from so many rows an hour on, where there is little chance in a window."""

Say = Callable[[str], None]
Counts = NDArray[np.int64]
Fired = NDArray[np.bool_]
Judge = Callable[[Iterable[Rules], Counts, Floats], list[Fired]]


@dataclass(frozen=True)
class Comparison:
    """One that alerts make: shares of the bins that rows are drawn from, and how the alert judges windows."""

    alert: str
    shares: Floats
    judge: Judge
    least_rows: int = LEAST_ROWS
    windows: tuple[int, ...] = (HOUR, DAY)


@dataclass(frozen=True)
class Population:
    """What rows of a model are drawn from, and the rows and quantiles of its bundle."""

    model: str
    rows: int
    quantiles: dict[int, float]
    shares: dict[str, Floats]
    missing: dict[str, int]
    numbers: int
    predicted: float

    def comparisons(self, random: np.random.Generator) -> Iterator[Comparison]:
        """Yield what is judged of the model's streams; of the ranges it draws those of a reference."""
        for feature, shares in self.shares.items():
            yield Comparison("FeatureDrift", shares, drifts)
            if feature in self.missing:
                share = shares[self.missing[feature]]
                yield Comparison("FeatureMissing", np.array([1 - share, share]), misses)
            if feature != SCORE:
                yield Comparison("FeatureRejected", np.array([1 - HONEST_REJECTED, HONEST_REJECTED]), rejects)
        for beyond in random.beta(1, self.rows, (self.numbers, 2)).sum(axis=1):
            yield Comparison("FeatureOutOfRange", np.array([1 - beyond, beyond]), leaves_range)
        shares = np.array([1 - self.predicted, self.predicted])
        yield Comparison("PredictionMixShift", shares, shifted_mix, LEAST_ANSWERS, (HOUR,))


def drifts(rules: Iterable[Rules], live: Counts, reference: Floats) -> list[Fired]:
    found, rows = index(live, reference), live.sum(axis=1)
    return [rule.drifts(found, rows, reference.sum(), len(reference)) for rule in rules]


def misses(rules: Iterable[Rules], live: Counts, reference: Floats) -> list[Fired]:
    rows, known = live.sum(axis=1), float(reference.sum())
    share, expected = (live[:, 1] + HALF_A_ROW) / (rows + 1), (reference[1] + HALF_A_ROW) / (known + 1)
    return [rule.misses(share, float(expected), rows, known) for rule in rules]


def rejects(rules: Iterable[Rules], live: Counts, _reference: Floats) -> list[Fired]:
    rows = live.sum(axis=1)
    return [rule.rejects(live[:, 1] / rows, rows) for rule in rules]


def leaves_range(rules: Iterable[Rules], live: Counts, reference: Floats) -> list[Fired]:
    rows = live.sum(axis=1)
    return [rule.leaves_range(live[:, 1] / rows, rows, float(reference.sum())) for rule in rules]


def shifted_mix(rules: Iterable[Rules], live: Counts, reference: Floats) -> list[Fired]:
    rows, known = live.sum(axis=1), float(reference.sum())
    return [rule.shifts(live[:, 1] / rows, float(reference[1] / known), rows, known) for rule in rules]


def population(name: str) -> Population:
    """Return that of a shipped model."""
    model = load_model(MODELS / name)
    manifest = model.manifest
    bins = all_bins(model.declaration.features, manifest.distribution, manifest.score)
    return Population(
        name,
        manifest.data.rows,
        manifest.chi_square,
        {feature: np.array(found.shares) / sum(found.shares) for feature, found in bins.items()},
        {feature: found.names.index(MISSING) for feature, found in bins.items() if MISSING in found.names},
        len(ranges_of(manifest.distribution)),
        list(manifest.evaluation.expectation.shares.values())[-1],
    )


# ---- honest years ----


def alerts(
    comparison: Comparison,
    rules: Iterable[Rules],
    *,
    rate: float,
    reference: Floats,
    minutes: int,
    random: np.random.Generator,
) -> list[int]:
    """Return how many episodes each of some rules has in a stream, after a first day."""
    drawn = random.poisson(rate * comparison.shares / 60, (minutes + DAY, len(comparison.shares)))
    until = np.vstack([np.zeros((1, len(comparison.shares)), dtype=np.int64), drawn.cumsum(axis=0)])
    judged: list[list[NDArray[np.intp]]] = [[] for _ in rules]
    for window in comparison.windows:
        step = STEP[window]
        live = until[DAY::step] - until[DAY - window : len(until) - window : step]
        enough = np.flatnonzero(live.sum(axis=1) >= comparison.least_rows)
        for fired, caused in zip(judged, comparison.judge(rules, live[enough], reference), strict=True):
            fired.append(enough[caused] * step)
    return [episodes(np.unique(np.concatenate(fired))) for fired in judged]


def episodes(minutes: NDArray[np.intp]) -> int:
    """Return how many there are, by the minutes in which there is a cause."""
    return int((np.diff(minutes) > KEPT_FIRING).sum()) + 1 if len(minutes) else 0


def honest_years(
    model: Population, rate: float, references: int, minutes: int, rules: tuple[Rules, ...]
) -> list[list[dict[str, int]]]:
    """Return the episodes by alert of each rules [rules] with each reference [references]."""
    found: list[list[dict[str, int]]] = [[] for _ in rules]
    for number in range(references):
        random = np.random.default_rng([number, int(rate), model.rows])
        counts: list[dict[str, int]] = [{} for _ in rules]
        for comparison in model.comparisons(random):
            of_range = comparison.alert == "FeatureOutOfRange"  # drawn with the range
            reference = random.multinomial(model.rows, comparison.shares).astype(float)
            reference = np.array([model.rows, 0.0]) if of_range else reference
            fired = alerts(comparison, rules, rate=rate, reference=reference, minutes=minutes, random=random)
            for count, many in zip(counts, fired, strict=True):
                count[comparison.alert] = count.get(comparison.alert, 0) + many
        for all_of_rules, count in zip(found, counts, strict=True):
            all_of_rules.append(count)
    return found


def apart(model: Population) -> ApartRules:
    """Return the alternative whose reference is off once in a hundred models, and windows once a year."""
    features = len(model.shares)
    of_reference = {bins: float(chi2.isf(0.01 / features, bins - 1)) for bins in range(2, 8)}
    return ApartRules(model.quantiles, of_reference)


def false_alarms(say: Say, minutes: int = MINUTES) -> Iterator[dict[str, Any]]:
    """Yield the lines of the table of false alarms, a year with each reference."""
    for name, most in YEARS.items():
        model = population(name)
        rules = (FORMER, apart(model), YearlyRules(model.quantiles))
        for rate in RATES:
            say(f"{name}, {rate:,} rows an hour ...")
            references = min(most, FEWER_YEARS) if rate >= MANY_ROWS else most
            former, other, shipped = honest_years(model, rate, references, minutes, rules)
            yield {
                "model": name,
                "reference": model.rows,
                "rate": rate,
                "years": references,
                "former": summary(former, "FeatureDrift"),
                "apart": summary(other, "FeatureDrift"),
                "shipped": summary(shipped, "FeatureDrift"),
                "former_others": summary(former, *OTHERS),
                "shipped_others": summary(shipped, *OTHERS),
                "former_rejected": summary(former, "FeatureRejected"),
                "shipped_rejected": summary(shipped, "FeatureRejected"),
                "more_than_one": sum(sum(count.values()) > 1 for count in shipped),
            }


OTHERS = ("FeatureMissing", "FeatureOutOfRange", "PredictionMixShift")


def summary(counts: list[dict[str, int]], *names: str) -> dict[str, float]:
    totals = [sum(count.get(name, 0) for name in names) for count in counts]
    return {
        "mean": round(float(np.mean(totals)), 2),
        "median": float(np.median(totals)),
        "least": min(totals),
        "most": max(totals),
    }


# ---- tables ----


def run(say: Say) -> None:
    """Measure, write docs/drift-honesty.json, and its tables into docs/drift.md."""
    measured = {
        "years": list(false_alarms(say)),
        "told": list(drift_shifts.until_told()),
        "power": list(drift_shifts.power_by_rows()),
    }
    RESULTS.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(measured), encoding="utf-8")


def page(measured: dict[str, Any]) -> str:
    """Return docs/drift.md with the tables of what was measured in place of those that it has."""
    tables = {
        "honest years": years_table(measured["years"]),
        "alternatives": alternatives_table(measured["years"]),
        "time until told": told_table(measured["told"]),
        "power by rows": power_table(measured["power"]),
    }
    return with_tables(PAGE.read_text(encoding="utf-8"), tables)


def years_table(lines: Iterable[dict[str, Any]]) -> Iterator[str]:
    yield (
        "| rows like the training data | years | `FeatureDrift` | before | missing, range, mix | before "
        "| `FeatureRejected` | before | years with more than one alert |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    for line in lines:
        cells = [
            described(line[f"{rules}{what}"])
            for what in ("", "_others", "_rejected")
            for rules in ("shipped", "former")
        ]
        yield (
            f"| {line['model']}, {line['reference']:,} rows; {line['rate']:,} an hour | {line['years']} "
            f"| {' | '.join(cells)} | {line['more_than_one']} |"
        )


def alternatives_table(lines: Iterable[dict[str, Any]]) -> Iterator[str]:
    yield "| rows like the training data | 99.9 % of a window | two errors apart | once a year |"
    yield "|---|---|---|---|"
    for line in lines:
        cells = " | ".join(described(line[rules]) for rules in ("former", "apart", "shipped"))
        yield f"| {line['model']}, {line['rate']:,} an hour | {cells} |"


def described(found: dict[str, float]) -> str:
    """Return a mean with median and range; 0 where there is nothing at all."""
    if not found["most"]:
        return "0"
    mean = f"{found['mean']:,.0f}" if found["mean"] >= 10 else f"{found['mean']:.2g}"
    return f"{mean} ({found['median']:,.0f}, {found['least']:,.0f} to {found['most']:,.0f})"


def told_table(lines: Iterable[dict[str, Any]]) -> Iterator[str]:
    yield "| reference | rows an hour | " + " | ".join(f"{shift} SD" for shift in drift_shifts.SHIFTS) + " |"
    yield "|---|---|" + len(drift_shifts.SHIFTS) * "---|"
    for line in lines:
        pairs = zip(line["shipped"], line["former"], strict=True)
        cells = " | ".join(f"{hours(now)} ({hours(before)})" for now, before in pairs)
        yield f"| {line['reference']:,} | {line['rate']:,} | {cells} |"


def hours(number: float | None) -> str:
    return "never" if number is None else f"{number:g} h"


def power_table(lines: Iterable[dict[str, Any]]) -> Iterator[str]:
    yield "| shift | " + " | ".join(f"{rows:,} rows" for rows in drift_shifts.ROWS) + " |"
    yield "|---|" + len(drift_shifts.ROWS) * "---|"
    for line in lines:
        pairs = zip(line["shipped"], line["former"], strict=True)
        yield f"| {line['shift']} | " + " | ".join(f"{now} ({before})" for now, before in pairs) + " |"
