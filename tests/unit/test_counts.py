"""Our counters and histograms show what the library's would, in one process and across several workers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.openmetrics import exposition as openmetrics

from serving.metrics.counts import Counts, forget

disable_created_metrics()

BUCKETS = (0.1, 0.5, 1.0, 2.5)
LABELS = st.sampled_from(["a", "b", 'with "quotes" and \\'])
VALUES = st.floats(0, 5) | st.sampled_from([*BUCKETS, 0.0, 1e-9])
Events = list[tuple[str, float]]


class Library:
    """The library's objects under the names of ours."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def counter(self, name: str, documentation: str, names: Sequence[str]) -> Counter:
        return Counter(name, documentation, names, registry=self._registry)

    def histogram(
        self, name: str, documentation: str, names: Sequence[str], buckets: Sequence[float]
    ) -> Histogram:
        return Histogram(name, documentation, names, registry=self._registry, buckets=buckets)

    def up_down_counter(self, name: str, documentation: str, names: Sequence[str]) -> Gauge:
        return Gauge(name, documentation, names, registry=self._registry)


def count(metrics: Any, counted: Events, seen: Events) -> None:
    events = metrics.counter("events_total", "Events.", ("kind",))
    seconds = metrics.histogram("seconds", "Seconds.", ("kind",), buckets=BUCKETS)
    bare = metrics.counter("bare_total", "No labels.", ())
    busy = metrics.up_down_counter("busy", "Busy.", ())
    if isinstance(metrics, Counts):
        bare, busy = bare.labels(), busy.labels()
    for kind, amount in counted:
        events.labels(kind=kind).inc(amount)
        bare.inc()
        busy.inc(-1 if kind == "a" else 1)
    for kind, value in seen:
        seconds.labels(kind=kind).observe(value)


def shown(registry: CollectorRegistry) -> list[bytes]:
    return [generate_latest(registry), openmetrics.generate_latest(registry)]


@given(counted=st.lists(st.tuples(LABELS, st.integers(0, 1000))), seen=st.lists(st.tuples(LABELS, VALUES)))
def test_the_exposition_equals_the_librarys(counted: Events, seen: Events) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    count(Counts(ours, None), counted, seen)
    count(Library(theirs), counted, seen)
    assert shown(ours) == shown(theirs)


def test_workers_counts_are_summed_and_outlive_a_worker(tmp_path: Path) -> None:
    first, second, alone = CollectorRegistry(), CollectorRegistry(), CollectorRegistry()
    count(Counts(first, tmp_path), [("b", 2), ("c", 3)], [("b", 0.25)])
    workers = {file.name.split("-")[1] for file in tmp_path.iterdir()}
    count(Counts(second, tmp_path), [("b", 5), ("a", 7)], [("b", 0.75), ("a", 9)])
    count(Counts(alone, None), [("b", 2), ("c", 3), ("b", 5), ("a", 7)], [("b", 0.25), ("b", 0.75), ("a", 9)])
    assert sorted(shown(first)[0].splitlines()) == sorted(shown(alone)[0].splitlines())
    assert first.get_sample_value("busy") == 2
    (pid,) = workers  # both live in this process
    forget(tmp_path, int(pid))
    assert second.get_sample_value("busy") is None
    assert second.get_sample_value("events_total", {"kind": "b"}) == 7


def test_a_half_written_line_waits_for_the_next_scrape(tmp_path: Path) -> None:
    registry = CollectorRegistry()
    count(Counts(registry, tmp_path), [("b", 2)], [])
    (keys,) = tmp_path.glob("kept-*.keys")
    with keys.open("a") as file:
        file.write('["events_total", ["c"')
    assert registry.get_sample_value("events_total", {"kind": "b"}) == 2


def test_undeclared_labels_are_rejected() -> None:
    family = Counts(CollectorRegistry(), None).counter("events_total", "Events.", ("kind",))
    with pytest.raises(ValueError, match="the labels of events_total are kind"):
        family.labels(colour="red")


def test_series_beyond_the_capacity_are_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.metrics.counts.CAPACITY", 2)
    family = Counts(CollectorRegistry(), tmp_path).counter("events_total", "Events.", ("kind",))
    family.labels(kind="a").inc()
    family.labels(kind="b").inc()
    with pytest.raises(MemoryError, match="room for 2 numbers"):
        family.labels(kind="c")
