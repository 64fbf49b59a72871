"""How often alerts on drift are wrong, and how well they see: windows of rows in a Prometheus' past.

Every window stands in a namespace of its own, with the reference that it is compared with. Its rows are
counted by the bins that the server counts in (bundle/bins.py), its counters rise within one hour, and the
shipped rules record and alert. numpy computes the same index from the same rows.
"""

import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from bench.drift_rules import HALF_A_ROW, LEAST_ROWS, between_shares, index, range_chance, variance
from bench.load import PROJECT, BenchError
from bench.prometheus import Labels, Prometheus, backfill
from bench.tables import with_tables
from bundle import concepts
from bundle.bins import MISSING, Bins, all_bins
from bundle.declaration import Declaration, load_declaration
from bundle.distributions import CategoryDistribution, Distributions, NumberDistribution
from bundle.encoding import Encoder, Matrix
from bundle.errors import InvalidRowsError
from bundle.features import CategoryFeature
from bundle.manifest import Manifest
from bundle.score import scores
from serving.inference.catalogue import ServedModel, load_model
from training.data import load_recipe, load_rows
from training.distribution import describe, describe_score, quantiles
from training.evaluation import out_of_fold

MODELS = PROJECT / "models"
RULES = PROJECT / "monitoring" / "rules" / "drift.yaml"
RESULTS = PROJECT / "docs" / "drift.json"
PAGE = PROJECT / "docs" / "drift.md"
WINDOWS, ROWS = 50, 1000
SEEDS, ROWS_OF_SHIFT = 20, 500
END = 1_767_229_200
"""When windows end, in seconds: 2026-01-01T01:00:00Z, amid a block of Prometheus."""

RISE = [END - 3000 + 480 * step for step in range(6)]
HOLD = list(range(END - 160, END, 10))
"""Times of samples: counters rise, and keep still while rules are evaluated, each group at its own time."""

DEPTH = 4
"""Recordings that stand one on the other: counts, rows, shares, index."""

SYSTEMS = ("heart-disease v1", "iris v1", "churn v1", "churn v2", "fraud v1")

Say = Callable[[str], None]
Counts = NDArray[np.intp]
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Reference:
    """What live rows are compared with: bins, the number of rows, and the range of each number."""

    model: str
    version: str
    bins: dict[str, Bins]
    rows: int
    ranges: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Window:
    """Rows of an hour as the server counts them, by feature."""

    scenario: str
    namespace: str
    reference: Reference
    values: dict[str, Counts]
    outside: dict[str, int]
    refused: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Rows:
    """Training rows [rows, features], and the scores that models gave which had not seen them."""

    name: str
    version: str
    declaration: Declaration
    matrix: Matrix
    scores: Scores

    def reference(self, chosen: Counts) -> Reference:
        """Return what a model trained on the chosen rows would be shipped with."""
        distribution = describe(self.declaration, self.matrix[chosen])
        bins = all_bins(self.declaration.features, distribution, describe_score(self.scores[chosen]))
        return Reference(self.name, self.version, bins, len(chosen), ranges_of(distribution))

    def window(self, scenario: str, number: int, reference: Reference, chosen: Counts) -> Window:
        return counted(scenario, number, reference, self.matrix[chosen], self.scores[chosen])


def counted(scenario: str, number: int, reference: Reference, matrix: Matrix, scores: Scores) -> Window:
    """Count rows [rows, features] and their scores [rows] in the bins of a reference."""
    columns = dict(zip(reference.bins, (*matrix.T, scores), strict=True))
    values = {name: bins.count(columns[name]) for name, bins in reference.bins.items()}
    outside = {
        name: int(((columns[name] < low) | (columns[name] > high)).sum())
        for name, (low, high) in reference.ranges.items()
    }
    return Window(scenario, f"{scenario}/{number}", reference, values, outside)


def ranges_of(distribution: Distributions) -> dict[str, tuple[float, float]]:
    """Return the lowest and the highest value of each number."""
    numbers = {name: found for name, found in distribution.items() if isinstance(found, NumberDistribution)}
    return {name: (number.minimum, number.maximum) for name, number in numbers.items()}


def stability_index(live: Counts, shares: Iterable[float], rows: int) -> float:
    """Return the population stability index of live rows [bins], half a row being added to each bin."""
    return float(index(live, np.array(list(shares)) * rows))


# ---- rows without drift ----


def load_training_rows(name: str, version: str, data: Path | None) -> Rows:
    """Return a model's training data; DataError where they do not come with the project."""
    folder = MODELS / name
    declaration, recipe = load_declaration(folder), load_recipe(folder)
    rows, labels, _ = load_rows(folder, declaration, recipe, data)
    matrix = Encoder(declaration).encode(rows)
    estimator = declaration.versions[version].estimator
    probabilities = out_of_fold(
        lambda: recipe.build_pipeline(estimator, declaration), matrix, labels, len(declaration.classes)
    )
    return Rows(name, version, declaration, matrix, scores(probabilities[0]))


def held_out(rows: Rows) -> Iterator[Window]:
    """Halve the rows anew for each window: one half is the reference, and the window comes from the other."""
    random = np.random.default_rng(0)
    for number in range(WINDOWS):
        known, unseen = np.array_split(random.permutation(len(rows.matrix)), 2)
        stream = random.choice(unseen, ROWS, replace=len(unseen) < ROWS)
        scenario = f"{rows.name} {rows.version}, held out{', repeated' if len(unseen) < ROWS else ''}"
        yield rows.window(scenario, number, rows.reference(known), stream)


def redrawn(rows: Rows) -> Iterator[Window]:
    """Take the rows as a population that reference and window are drawn from, each by itself."""
    random = np.random.default_rng(0)
    size = len(rows.matrix)
    for number in range(WINDOWS):
        known, stream = random.integers(0, size, size), random.integers(0, size, ROWS)
        yield rows.window(f"{rows.name} {rows.version}, drawn anew", number, rows.reference(known), stream)


# ---- rows with drift, of the heart model ----

Shift = Callable[[Matrix, np.random.Generator], Matrix]


def shifts(declaration: Declaration, manifest: Manifest) -> Iterator[tuple[str, str, Shift]]:
    """Yield what is done to rows, the feature that it is done to, and how."""
    names = declaration.feature_names

    def older(matrix: Matrix, _random: np.random.Generator) -> Matrix:
        matrix[:, names.index("age")] += 15
        return matrix

    def half_missing(matrix: Matrix, random: np.random.Generator) -> Matrix:
        matrix[random.random(len(matrix)) < 1 / 2, names.index("ca")] = np.nan
        return matrix

    yield "nothing", "", lambda matrix, _random: matrix
    yield "ages + 15", "age", older
    yield "`ca` missing in half of the rows", "ca", half_missing
    categories = [feature for feature in declaration.features if isinstance(feature, CategoryFeature)]
    for feature in categories:
        distribution = manifest.distribution[feature.name]
        shares = distribution.shares if isinstance(distribution, CategoryDistribution) else {}
        for name, share in shares.items():
            if 2 * share <= 1:
                shift = doubled(names.index(feature.name), feature.codes[name], share)
                yield f"`{feature.name}` {name}, {share:.1%}, doubled", feature.name, shift


def doubled(column: int, code: int, share: float) -> Shift:
    """Return what gives so many other rows a category that its share doubles."""

    def shift(matrix: Matrix, random: np.random.Generator) -> Matrix:
        others = matrix[:, column] != code
        matrix[others & (random.random(len(matrix)) < share / (1 - share)), column] = code
        return matrix

    return shift


def shifted() -> Iterator[tuple[str, Iterator[Window]]]:
    """Yield the shifted feature, and windows of such rows of the heart model's data."""
    folder = MODELS / "heart-disease"
    model = load_model(folder)
    declaration, manifest = model.declaration, model.manifest
    rows, _, _ = load_rows(folder, declaration, load_recipe(folder), None)
    matrix = model.encode(rows)
    bins = all_bins(declaration.features, manifest.distribution, manifest.score)
    reference = Reference(
        model.name, model.version, bins, manifest.data.rows, ranges_of(manifest.distribution)
    )

    def windows(what: str, shift: Shift) -> Iterator[Window]:
        for seed in range(SEEDS):
            random = np.random.default_rng(seed)
            moved = shift(matrix[random.integers(0, len(matrix), ROWS_OF_SHIFT)].copy(), random)
            predicted = np.array([prediction.probabilities for prediction in model.predict(moved)])
            yield counted(what, seed, reference, moved, scores(predicted))

    def in_mmol(what: str) -> Iterator[Window]:
        for seed in range(SEEDS):
            chosen = np.random.default_rng(seed).integers(0, len(rows), ROWS_OF_SHIFT)
            refused = sum(refuses(model, rows[number], "chol", 38.67) for number in chosen)
            nothing = counted(what, seed, reference, matrix[:0], np.zeros(0))
            yield replace(nothing, refused={"chol": refused})

    for what, feature, shift in shifts(declaration, manifest):
        yield feature, windows(what, shift)
    yield "chol", in_mmol("`chol` in mmol/l")


def refuses(model: ServedModel, row: Mapping[str, Any], feature: str, divisor: float) -> bool:
    """Tell whether the encoder refuses a row with this feature in another unit, and for it alone."""
    try:
        model.encode_row({**row, feature: round(row[feature] / divisor, 1)})
    except InvalidRowsError as error:
        return [fault.field for fault in error.errors] == [feature]
    return False


# ---- into Prometheus and out of it ----


def samples(windows: Iterable[Window]) -> Iterator[str]:
    """Yield OpenMetrics lines of windows, sorted by metric; counters rise evenly from 0 within an hour."""
    lines = sorted((line for window in windows for line in series(window)), key=lambda line: line[:2])
    for (name, kind), series_lines in groupby(lines, key=lambda line: line[:2]):
        yield f"# TYPE {name.removesuffix('_total')} {kind}"
        for _, _, labels, value in series_lines:
            written = ",".join(f'{label}="{text}"' for label, text in labels.items())
            if kind == "gauge":  # is seen for five minutes
                yield f"{name}{{{written}}} {value} {HOLD[0]}"
                continue
            for step, time in enumerate(RISE):
                yield f"{name}{{{written}}} {value * step // len(RISE)} {time}"
            yield from (f"{name}{{{written}}} {value} {time}" for time in HOLD)


def series(window: Window) -> Iterator[tuple[str, str, Labels, float]]:
    """Yield name, type, labels and last value of each series of a window."""
    reference = window.reference
    labels = {"namespace": window.namespace, "job": "api", "model": reference.model}
    labels |= {"model_version": reference.version, "reference": "1f2e3d4c"}
    yield concepts.FEATURE_REFERENCE_ROWS.common, "gauge", labels, reference.rows
    for number, quantile in quantiles(reference.bins).items():
        yield concepts.FEATURE_CHI_SQUARE.common, "gauge", labels | {"bins": str(number)}, quantile
    for feature, bins in reference.bins.items():
        of_feature = labels | {"feature": feature}
        for bin_, share, number in zip(bins.names, bins.shares, window.values[feature].tolist(), strict=True):
            of_bin = of_feature | {"bin": bin_}
            yield concepts.FEATURE_VALUES.common, "counter", of_bin, number
            yield concepts.FEATURE_REFERENCE_SHARE.common, "gauge", of_bin, share
        yield concepts.FEATURE_REJECTED.common, "counter", of_feature, window.refused.get(feature, 0)
        if feature in window.outside:
            yield concepts.FEATURE_OUT_OF_RANGE.common, "counter", of_feature, window.outside[feature]


@dataclass(frozen=True)
class Outcome:
    """What rules make of windows: by namespace, alerts with their features, and the index by feature.

    `recorded` has what the index and the shares are judged by: by name, namespace and feature.
    """

    alerts: dict[str, set[tuple[str, str]]]
    index: dict[str, dict[str, float]]
    recorded: dict[str, dict[tuple[str, str], float]]


def ask_rules(windows: list[Window]) -> Outcome:
    """Have the shipped rules judge windows."""
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    alerts = [rule for group in groups for rule in group["rules"] if "alert" in rule]
    outcome = Outcome(
        {window.namespace: set() for window in windows},
        {window.namespace: {} for window in windows},
        {name: {} for name in JUDGED_BY},
    )
    with tempfile.TemporaryDirectory() as folder:
        backfill(Path(folder), samples(windows), RULES, END, DEPTH)
        with Prometheus(Path(folder), {}, "--storage.tsdb.retention.time=100y") as prometheus:
            for labels, value in prometheus.query("job:feature:psi1h", END):
                outcome.index[labels["namespace"]][labels["feature"]] = value
            for name, found in outcome.recorded.items():
                for labels, value in prometheus.query(name, END):
                    found[labels["namespace"], labels["feature"]] = value
            for rule in alerts:
                for labels, _ in prometheus.query(rule["expr"], END):
                    outcome.alerts[labels["namespace"]].add((rule["alert"], labels["feature"]))
    return outcome


JUDGED_BY = (
    "job:feature:psi_chance1h",
    "job:feature_out_of_range:share1h",
    "job:feature_out_of_range:chance1h",
    "job:feature_missing:chi_square1h",
)


def differences(windows: Iterable[Window], outcome: Outcome) -> Iterator[float]:
    """Yield how far Prometheus' index of each window and feature is from numpy's."""
    for window in windows:
        for feature, found in window.reference.bins.items():
            if judged_by(window, feature):
                numpys = stability_index(window.values[feature], found.shares, window.reference.rows)
                yield abs(outcome.index[window.namespace][feature] - numpys)


def judged_differences(windows: Iterable[Window], outcome: Outcome) -> Iterator[float]:
    """Yield how far what else rules judge a feature by is from numpy's; above 1, as a fraction of it.

    Numbers of rows differ by how Prometheus extrapolates an increase. Without rows nothing may be recorded.
    """
    for window in windows:
        for feature in window.reference.bins:
            place = (window.namespace, feature)
            expected = judged_by(window, feature)
            for name, value in expected.items():
                yield abs(outcome.recorded[name][place] - value) / max(1, value)
            unasked = {name for name in JUDGED_BY if place in outcome.recorded[name]} - expected.keys()
            if unasked:
                raise BenchError(f"{sorted(unasked)} of {place} should not have been recorded")


def judged_by(window: Window, feature: str) -> dict[str, float]:
    """Return what rules judge a feature by, as numpy computes it: nothing of fewer than 300 rows."""
    live, found, known = window.values[feature], window.reference.bins[feature], window.reference.rows
    rows = live.sum()
    if rows < LEAST_ROWS:
        return {}
    chi_square = quantiles(window.reference.bins)
    factor = variance(rows, known)
    judged = {"job:feature:psi_chance1h": chi_square[len(found.names)] * factor}
    if feature in window.outside:
        judged["job:feature_out_of_range:share1h"] = window.outside[feature] / rows
        judged["job:feature_out_of_range:chance1h"] = range_chance(rows, known, chi_square[5])
    if MISSING in found.names:
        half = HALF_A_ROW * len(found.names)
        place = found.names.index(MISSING)
        share = (live[place] + HALF_A_ROW) / (rows + half)
        trained = (found.shares[place] * known + HALF_A_ROW) / (known + half)
        judged["job:feature_missing:chi_square1h"] = between_shares(share, trained, factor)
    return {name: float(value) for name, value in judged.items()}


# ---- tables ----


def false_alarms(windows: list[Window], outcome: Outcome) -> dict[str, Any]:
    """Return the line of the table on windows without drift."""
    raised = [alert for window in windows for alert, _ in outcome.alerts[window.namespace]]
    return {
        "rows": windows[0].scenario,
        "reference": windows[0].reference.rows,
        "windows": len(windows),
        "features": len(windows[0].values),
        "raised": {name: raised.count(name) for name in sorted(set(raised))},
        "largest": round(max(max(outcome.index[window.namespace].values()) for window in windows), 3),
    }


def power(feature: str, windows: list[Window], outcome: Outcome) -> dict[str, Any]:
    """Return the line of the table on windows in which a feature was shifted."""
    raised = [outcome.alerts[window.namespace] for window in windows]
    index = [outcome.index[window.namespace].get(feature, 0) for window in windows]
    return {
        "shift": windows[0].scenario,
        "feature": feature,
        "windows": len(windows),
        "named": sum(any(name == feature for _, name in alerts) for alerts in raised),
        "alerts": sorted({alert for alerts in raised for alert, name in alerts if name == feature}),
        "score": sum(any(name == "score" for _, name in alerts) for alerts in raised),
        "others": sum(any(name not in (feature, "score") for _, name in alerts) for alerts in raised),
        "index": round(float(np.mean(index)), 3),
    }


def measure(say: Say, churn: Path | None) -> dict[str, Any]:
    """Return both tables; without churn's data, which may not be passed on, its lines are missing."""
    without: list[list[Window]] = []
    for system in SYSTEMS:
        name, version = system.split()
        if name == "churn" and churn is None:
            say(f"{system} is left out: CHURN_DATA names no file")
            continue
        say(f"{system} ...")
        rows = load_training_rows(name, version, churn if name == "churn" else None)
        few = len(rows.matrix) < 2 * ROWS
        without += [list(way(rows)) for way in ((redrawn, held_out) if few else (held_out,))]
    say("shifts of heart-disease ...")
    moved = [(feature, list(shifts)) for feature, shifts in shifted()]
    windows = [window for group in [*without, *(shifts for _, shifts in moved)] for window in group]
    say(f"{len(windows)} windows, backfilled ...")
    outcome = ask_rules(windows)
    return {
        "false_alarms": [false_alarms(group, outcome) for group in without],
        "power": [power(feature, shifts, outcome) for feature, shifts in moved],
        "largest_difference": float(f"{max(differences(windows, outcome)):.1g}"),
        "largest_difference_judged": float(f"{max(judged_differences(windows, outcome)):.1g}"),
    }


def run(say: Say) -> None:
    """Measure, write docs/drift.json, and its tables into docs/drift.md."""
    churn = os.environ.get("CHURN_DATA")
    measured = measure(say, Path(churn) if churn else None)
    RESULTS.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(measured), encoding="utf-8")
    print(PAGE.read_text(encoding="utf-8"))


def page(measured: dict[str, Any]) -> str:
    """Return docs/drift.md with the tables of what was measured in place of those that it has."""
    tables = {"false alarms": false_alarms_table(measured), "power": power_table(measured)}
    return with_tables(PAGE.read_text(encoding="utf-8"), tables)


def false_alarms_table(measured: dict[str, Any]) -> Iterator[str]:
    yield "| rows | rows of the reference | windows | features and score | largest index | alerts |"
    yield "|---|---|---|---|---|---|"
    for line in measured["false_alarms"]:
        raised = ", ".join(f"{name} {number}" for name, number in line["raised"].items()) or "none"
        yield (
            f"| {line['rows']} | {line['reference']:,} | {line['windows']} | {line['features']} "
            f"| {line['largest']:.3f} | {raised} |"
        )
    yield ""
    yield f"Prometheus' index is at most {measured['largest_difference']:.4f} from numpy's, here and below."


def power_table(measured: dict[str, Any]) -> Iterator[str]:
    yield "| shift | feature named | alerts | mean index | score named, too | another feature named |"
    yield "|---|---|---|---|---|---|"
    for line in measured["power"]:
        named = f"{line['named']} of {line['windows']}" if line["feature"] else ""
        yield (
            f"| {line['shift']} | {named} | {', '.join(line['alerts'])} | {line['index']:.3f} "
            f"| {line['score']} | {line['others']} |"
        )
