"""How soon the alerts on drift tell a shift, beside the alerts as they were: simulated by numpy."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy.stats import chi2, norm

from bench.drift import MODELS, Reference, Window, counted, ranges_of, shifts
from bench.drift_rules import LEAST_ROWS, Floats, FormerRules, Rules, YearlyRules, index
from bundle.bins import MISSING, all_bins
from serving.inference.catalogue import load_model
from training.data import load_recipe, load_rows

HOUR, DAY = 60, 24 * 60
SIZES = {"heart-disease": 303, "churn": 7_043}
"""Models whose quantiles are taken, and the rows of their references."""

RATES = (30, 300, 1_000, 10_000, 100_000)
SHIFTS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0)
"""Of a normally distributed number, in standard deviations."""

SEEDS = 20
ROWS = (500, 1_000, 2_000, 4_000, 12_000)
FORMER = FormerRules({bins: float(chi2.ppf(0.999, bins - 1)) for bins in range(2, 8)})


def until_told() -> Iterator[dict[str, Any]]:
    """Yield by reference and rate the hours until an alert, by shift; None where it seldom comes."""
    for model, known in SIZES.items():
        shipped = YearlyRules(load_model(MODELS / model).manifest.chi_square)
        for rate in RATES:
            hours: dict[str, list[float | None]] = {}
            for name, rules in (("former", FORMER), ("shipped", shipped)):
                hours[name] = [median_hours(rules, known, rate, shift) for shift in SHIFTS]
            yield {"reference": known, "rate": rate, **hours}


def median_hours(rules: Rules, known: int, rate: float, shift: float) -> float | None:
    """Return the median over references, each with a stream; None where half are not told in two days."""
    hours = [hours_until(rules, known, rate, shift, np.random.default_rng(seed)) for seed in range(SEEDS)]
    median = float(np.median(hours))
    return round(median, 1) if np.isfinite(median) else None


def hours_until(rules: Rules, known: int, rate: float, shift: float, random: np.random.Generator) -> float:
    """Return when a number in five even bins is told that shifts after a day; infinity where it is not."""
    honest = np.full(5, 1 / 5)
    moved = np.diff(norm.cdf(norm.ppf(np.arange(6) / 5) - shift))
    reference = random.multinomial(known, honest).astype(float)
    drawn = np.vstack([random.poisson(rate * shares / 60, (2 * DAY, 5)) for shares in (honest, moved)])
    until = np.vstack([np.zeros((1, 5), dtype=np.int64), drawn[DAY:].cumsum(axis=0)])
    told = np.inf
    for window in (HOUR, DAY):
        live = until[DAY + 1 :] - until[DAY + 1 - window : len(until) - window]
        enough = np.flatnonzero(live.sum(axis=1) >= LEAST_ROWS)
        live = live[enough]
        fired = enough[rules.drifts(index(live, reference), live.sum(axis=1), known, 5)]
        told = min(told, (fired[0] + 1) / 60) if len(fired) else told
    return float(told)


def power_by_rows() -> Iterator[dict[str, Any]]:
    """Yield for each shift of the heart model's rows how many of so many windows name it, by their rows."""
    folder = MODELS / "heart-disease"
    model = load_model(folder)
    declaration, manifest = model.declaration, model.manifest
    matrix = model.encode(load_rows(folder, declaration, load_recipe(folder), None)[0])
    bins = all_bins(declaration.features, manifest.distribution, manifest.score)
    reference = Reference(model.name, model.version, bins, len(matrix), ranges_of(manifest.distribution))
    shipped = YearlyRules(manifest.chi_square)
    for what, feature, shift in shifts(declaration, manifest):
        if not feature:
            continue
        named: dict[str, list[int]] = {"former": [], "shipped": []}
        for rows in ROWS:
            windows = []
            for seed in range(SEEDS):
                random = np.random.default_rng(seed)
                moved = shift(matrix[random.integers(0, len(matrix), rows)].copy(), random)
                windows.append(counted(what, seed, reference, moved, np.zeros(rows)))
            for name, rules in (("former", FORMER), ("shipped", shipped)):
                named[name].append(sum(names(rules, window, feature) for window in windows))
        yield {"shift": what, **named}


def names(rules: Rules, window: Window, feature: str) -> bool:
    """Tell whether an alert names a feature of a window."""
    live, bins, known = window.values[feature], window.reference.bins[feature], window.reference.rows
    reference: Floats = np.array(bins.shares) * known
    rows = np.array([live.sum()])
    drifted = rules.drifts(index(live[None], reference), rows, known, len(live))
    if feature in window.outside:
        drifted = drifted | rules.leaves_range(window.outside[feature] / rows, rows, known)
    if MISSING in bins.names:
        place, half = bins.names.index(MISSING), len(live) / 2
        share, trained = (live[place] + 0.5) / (rows + half), (reference[place] + 0.5) / (known + half)
        drifted = drifted | rules.misses(share, float(trained), rows, known)
    return bool(drifted[0])
