"""What this process keeps for the live page: its size, and rates and percentiles as numpy has them."""

import asyncio
import re
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from bundle.concepts import LATENCY_BUCKETS, QUEUE
from bundle.declaration import load_declaration
from monitoring.panels.expressions import Aggregate, Increase, Percentile, Rate, Selector, quoted
from monitoring.panels.health import Health
from monitoring.panels.panel import Kind, Panel, Query, panel
from serving.app import create_app
from serving.console.live.chosen import Served, panels_of, scope_of
from serving.console.live.drift import BASES, LEAST_ROWS, TOO_FEW, record
from serving.console.live.history import KEPT_SECONDS, MOST_BYTES, SECONDS, History, Past
from serving.console.live.process import WHOLE, ProcessSource, reading
from serving.console.live.readings import Live
from serving.console.live.shaping import Found, filled, shaped
from serving.console.live.values import UnansweredError, evaluate
from serving.inference.catalogue import ServedModel
from serving.metrics.connections import Reason
from serving.metrics.counts import Counts
from serving.metrics.vocabulary import Vocabulary
from serving.settings import Settings, label_matchers
from tests.harness import PROJECT
from tests.systems import MODELS
from tests.unit.test_live_prometheus import target_of

RULES = PROJECT / "monitoring" / "rules" / "drift.yaml"
HOSTILE = ['"', "\\", "<b>&'", "\u202eabc", "a\nb", "{{x}}", "}"]


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def counters(values: dict[str, float]) -> Callable[[], list[Any]]:
    def collect() -> list[Any]:
        family = CounterMetricFamily("events", "Events.", labels=["kind"])
        for kind, value in values.items():
            family.add_metric([kind], value)
        return [family]

    return collect


def kept(values: dict[str, float], names: tuple[str, ...] = ("events_total",)) -> tuple[History, Clock]:
    clock = Clock()
    return History(counters(values), names, clock), clock


def fill(history: History, clock: Clock, ticks: int) -> None:
    for _ in range(ticks):
        history.tick()
        clock.now += SECONDS


@pytest.mark.parametrize("name", ["heart-disease", "churn", "fraud", "iris"])
def test_a_shipped_model_takes_at_most_two_mebibytes(name: str) -> None:
    registry = CollectorRegistry()
    create_app(Settings(model=(name,)), registry)
    declaration = load_declaration(MODELS / name)
    served = Served(declaration, tries_candidate=True, takes_outcomes=True)
    clock = Clock()
    source = ProcessSource(registry.collect, served, [declaration], clock)
    fill(source.history, clock, 1)
    tracemalloc.start()
    fill(source.history, clock, 2 * KEPT_SECONDS // SECONDS)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size < MOST_BYTES
    assert source.history.moments >= KEPT_SECONDS // SECONDS // 2
    assert not source.history.past().left_out


@pytest.mark.parametrize("name", ["heart-disease", "churn", "fraud", "iris"])
def test_a_process_shows_its_connections_and_what_it_sheds(name: str) -> None:
    registry, clock = CollectorRegistry(), Clock()
    connections = create_app(Settings(model=(name,)), registry).state.connections
    connections.set_open(3)
    connections.set_limit(8)
    declaration = load_declaration(MODELS / name)
    served = Served(declaration, tries_candidate=False, takes_outcomes=False)
    source = ProcessSource(registry.collect, served, [declaration], clock)
    fill(source.history, clock, 1)
    connections.count_closed("replaced")
    fill(source.history, clock, 1)
    scope = scope_of({"model": name, "feature": ""}, (), "1m", 15, WHOLE)
    past = source.history.past()
    panels = [made for _, section in panels_of(served, declaration, scope) for made in section]
    found = {
        made.key: {line.name: line.points[-1][1] for line in reading(made, past).lines} for made in panels
    }
    assert found["connections"] == {"open": 3, "limit": 8}
    assert found["requests-shed"].keys() >= {"429 /predict/batch", "all /predict/batch"}
    closed = found["connections-closed-early"]
    assert closed.keys() == set(get_args(Reason))
    assert {reason for reason, rate in closed.items() if rate} == {"replaced"}


def test_whoever_looks_shares_the_panels_of_no_feature(heart: ServedModel) -> None:
    """Else a client takes the memory of a page with each feature that it names."""
    registry, clock = CollectorRegistry(), Clock()
    create_app(Settings(model=("heart-disease",)), registry)
    served = Served(heart.declaration, tries_candidate=True, takes_outcomes=True)
    source = ProcessSource(registry.collect, served, [heart.declaration], clock)
    fill(source.history, clock, 3)

    async def look() -> list[Live]:
        names = heart.declaration.feature_names
        return await asyncio.gather(*(source.read(target_of(heart), 15, name) for name in names))

    first, *others = [
        [reading for section in live.sections for reading in section.readings] for live in asyncio.run(look())
    ]
    for readings in others:
        own = [mine.panel.key for mine, shown in zip(readings, first, strict=True) if mine is not shown]
        assert own == ["drift-of-the-chosen-feature", "values-against-training"]


@pytest.mark.parametrize("series", [1_000, 2_500, 20_000])
def test_many_series_are_kept_more_rarely_or_left_out(series: int) -> None:
    values = {f"kind {number} of very many": 0.0 for number in range(series)}
    tracemalloc.start()
    history, clock = kept(values)
    fill(history, clock, KEPT_SECONDS // SECONDS)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    past = history.past()
    assert size < MOST_BYTES
    assert bool(past.left_out) is (series == 20_000)
    if past.left_out:
        with pytest.raises(UnansweredError, match="PROMETHEUS_URL"):
            evaluate(Selector("events_total"), past)
    else:
        assert past.times[-1] - past.times[0] > KEPT_SECONDS * 0.8


def test_what_is_older_is_dropped() -> None:
    history, clock = kept({"a": 0.0})
    fill(history, clock, 3 * KEPT_SECONDS // SECONDS)
    assert history.moments == KEPT_SECONDS // SECONDS + 1


def test_time_never_goes_back() -> None:
    history, clock = kept({"a": 0.0})
    fill(history, clock, 10)
    clock.now -= 5 * SECONDS
    fill(history, clock, 2)
    times = history.past().times
    assert all(before < after for before, after in pairwise(times))
    assert times[-1] == clock.now - SECONDS


def test_increases_survive_a_restart_and_begin_at_nothing() -> None:
    values = {"a": 100.0}
    history, clock = kept(values)
    for a, b in ((100, None), (110, None), (5, 3), (6, 7)):
        values["a"] = a
        if b is not None:
            values["b"] = b
        history.tick()
        clock.now += SECONDS
    found = evaluate(Increase(Selector("events_total"), "15m"), history.past())
    assert {labels[0][1]: series[-1] for labels, series in found.items()} == {"a": 16, "b": 7}


def test_a_rate_is_what_numpy_says() -> None:
    values = {"a": 0.0}
    history, clock = kept(values)
    steps = np.random.default_rng(1).integers(0, 9, 60)
    for step in steps:
        values["a"] += step
        history.tick()
        clock.now += SECONDS
    total = np.cumsum(steps)
    (series,) = evaluate(Aggregate("sum", Rate(Selector("events_total"), "1m")), history.past()).values()
    assert series[30:] == pytest.approx((total[30:] - total[18:-12]) / 60)
    assert np.isnan(series[0])


def test_a_percentile_lies_in_the_bucket_of_numpys() -> None:
    registry, clock = CollectorRegistry(), Clock()
    observe = Vocabulary(registry).histogram(load_declaration(MODELS / "iris"), QUEUE, LATENCY_BUCKETS)
    history = History(registry.collect, [f"{QUEUE.common}_bucket"], clock)
    history.tick()
    seconds = np.random.default_rng(2).lognormal(-5, 1, 500)
    for value in seconds:
        observe(value)
    clock.now += SECONDS
    history.tick()
    for percent in (50, 95, 99):
        rates = Aggregate("sum", Rate(Selector(f"{QUEUE.common}_bucket"), "1m"), ("le",))
        (series,) = evaluate(Percentile(percent, rates), history.past()).values()
        place = np.searchsorted(LATENCY_BUCKETS, np.quantile(seconds, percent / 100, method="inverted_cdf"))
        assert LATENCY_BUCKETS[place - 1] <= series[-1] <= LATENCY_BUCKETS[place]


@pytest.mark.parametrize("value", HOSTILE)
def test_any_text_survives_as_a_label_and_in_a_legend(value: str) -> None:
    history, clock = kept({value: 1.0, "other": 2.0})
    fill(history, clock, 2)
    selector = Selector("events_total", (f"kind={quoted(value)}",))
    assert list(evaluate(selector, history.past())) == [(("kind", value),)]
    assert filled("{{kind}} p95", {"kind": value}) == f"{value} p95"


@pytest.mark.parametrize(
    "text", ["job", "job=heart", 'job=~"h.*"', 'job="a"} or up{job="a"', 'job="a" or vector(1)', 'a="1",']
)
def test_labels_are_nothing_else(text: str) -> None:
    with pytest.raises(ValueError, match="must be labels with their values"):
        label_matchers(text)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('job="\udcff"', "must have values that can be printed"),
        ('job="a", namespace="\u202eb"', "must have values that can be printed"),
        ('job="a", __name__="up"', "__name__ is what a metric is called"),
    ],
)
def test_labels_that_no_page_shows_or_no_query_takes_stop_the_start(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Settings(prometheus_labels=text)


@pytest.mark.parametrize("path", ["/\udcff", "/pr\u00f6"])
def test_a_path_that_no_request_can_have_stops_the_start(path: str) -> None:
    with pytest.raises(ValueError, match="percent-encode the others"):
        Settings(prometheus_url=f"http://127.0.0.1:9090{path}")


def test_labels_are_read_one_by_one() -> None:
    assert label_matchers(' job="a\\"b" , namespace="x, y"') == ('job="a\\"b"', 'namespace="x, y"')
    assert label_matchers('job="a",\n__namespace__="__name__="') == ('job="a"', '__namespace__="__name__="')
    assert label_matchers("") == ()


def test_a_heatmap_has_each_bucket_alone_and_no_line_has_what_is_no_number() -> None:
    made = panel(Kind.HEATMAP, "A", "A heatmap.", "none", Query(Selector("a")))
    found = [Found(0, {"le": le}, [(1.0, count)]) for le, count in (("+Inf", 9), ("0.5", 2), ("0.75", 7))]
    lines = shaped(made, 0, 1, found).lines
    assert [(line.name, line.points[0][1]) for line in lines] == [("0.5", 2), ("0.75", 5), ("+Inf", 2)]
    lined = panel(Kind.LINES, "A", "Lines.", "none", Query(Selector("a"), "{{b}}"))
    nothing = shaped(lined, 0, 1, [Found(0, {"b": "c"}, [(1.0, float("nan")), (2.0, float("inf"))])])
    assert not nothing.lines
    assert nothing.says


@pytest.mark.parametrize(
    ("began", "since"), [(1.8e9, 1.8e9), (float("nan"), None), (float("inf"), None), (1e18, None)]
)
def test_an_alert_began_at_a_time_or_at_none(began: float, since: float | None) -> None:
    made = panel(Kind.ALERTS, "A", "Alerts.", "none", Query(Selector("a")), Query(Selector("b")))
    labels = {"alertname": "A", "severity": "critical"}
    found = [Found(0, labels | {"alertstate": "firing"}, [(1.0, 1.0)]), Found(1, labels, [(1.0, began)])]
    assert [alert.since for alert in shaped(made, 0, 1, found).alerts] == [since]


def drifting(low: int, high: int) -> Past:
    """Return a past in which a feature's two bins got so many rows, unlike the 200 of training."""
    counts, shares = {"low": 0.0, "high": 0.0}, {"low": 0.25, "high": 0.75}

    def collect() -> list[Any]:
        labels = ["model", "model_version", "reference", "feature", "bin"]
        values = CounterMetricFamily("feature_values", "Values.", labels=labels)
        reference = GaugeMetricFamily("feature_reference_share", "Shares.", labels=labels)
        rows = GaugeMetricFamily("feature_reference_rows", "Rows.", labels=labels[:3])
        rows.add_metric(["m", "v1", "1f2e3d4c"], 200)
        for name, share in shares.items():
            values.add_metric(["m", "v1", "1f2e3d4c", "age", name], counts[name])
            reference.add_metric(["m", "v1", "1f2e3d4c", "age", name], share)
        quantile = GaugeMetricFamily("feature_chi_square_quantile", "Quantile.", labels=[*labels[:3], "bins"])
        quantile.add_metric(["m", "v1", "1f2e3d4c", "2"], 10.83)
        return [values, reference, rows, quantile]

    clock = Clock()
    history = History(collect, BASES, clock)
    fill(history, clock, 1)
    counts.update(low=low, high=high)
    fill(history, clock, 1)
    past = history.past()
    return replace(past, recorded=record(past))


def drift_panels() -> list[Panel]:
    scope = scope_of({"feature": "age"}, (), "1m", 15, WHOLE)
    return [Health(scope).drift(), Health(scope).drift_of_feature(), Health(scope).rejected()]


def test_drift_is_the_index_of_the_rules() -> None:
    live, trained = np.array([240.5, 160.5]) / 401, (np.array([50, 150]) + 0.5) / 201
    index = ((live - trained) * np.log(live / trained)).sum()
    shown = reading(drift_panels()[0], drifting(240, 160))
    assert shown.lines[0].points[-1][1] == pytest.approx(index)
    assert shown.explained == {"age v1": pytest.approx(10.83 * (1 / 400 + 1 / 200))}


def test_there_is_no_drift_under_the_rows_that_the_rules_need() -> None:
    for shown in (reading(made, drifting(240, 59)) for made in drift_panels()):
        assert (shown.lines, shown.says) == ((), TOO_FEW), shown.panel.title
    rules = re.findall(r"job:feature_rows:increase1h >= (\d+)\)", RULES.read_text(encoding="utf-8"))
    assert {int(rule) for rule in rules} == {LEAST_ROWS}


def test_workers_are_kept_together(tmp_path: Path) -> None:
    """Two workers count in one folder; the ring of either has the sum, and goes on without the other."""
    declaration, clock = load_declaration(MODELS / "iris"), Clock()
    registries = [CollectorRegistry(), CollectorRegistry()]
    observers = [
        Counts(registry, tmp_path).counter("events", "Events.", ["kind"]).labels(kind=str(declaration.name))
        for registry in registries
    ]
    history = History(registries[0].collect, ["events_total"], clock)
    history.tick()
    clock.now += SECONDS
    for observer in observers:
        observer.inc(3)
    history.tick()
    (series,) = evaluate(Increase(Selector("events_total"), "15m"), history.past()).values()
    assert series[-1] == 6
