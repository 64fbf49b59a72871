"""Our counters and histograms show what the library's would."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.openmetrics import exposition as openmetrics

from serving.counts import CountFamily, DistributionFamily

disable_created_metrics()

BUCKETS = (0.1, 0.5, 1.0, 2.5)
LABELS = st.sampled_from(["a", "b", 'with "quotes" and \\'])
VALUES = st.floats(0, 5) | st.sampled_from([*BUCKETS, 0.0, 1e-9])


def shown(
    counter: Any, histogram: Any, counted: list[tuple[str, float]], seen: list[tuple[str, float]]
) -> list[bytes]:
    registry = CollectorRegistry()
    counts = counter("events_total", "Events.", ("kind",), registry=registry)
    durations = histogram("seconds", "Seconds.", ("kind",), registry=registry, buckets=BUCKETS)
    bare = counter("bare_total", "No labels.", (), registry=registry)
    bare = bare.labels() if counter is CountFamily else bare
    for kind, amount in counted:
        counts.labels(kind=kind).inc(amount)
        bare.inc()
    for kind, value in seen:
        durations.labels(kind=kind).observe(value)
    return [generate_latest(registry), openmetrics.generate_latest(registry)]


@given(counted=st.lists(st.tuples(LABELS, st.integers(0, 1000))), seen=st.lists(st.tuples(LABELS, VALUES)))
def test_the_exposition_is_the_librarys(
    counted: list[tuple[str, float]], seen: list[tuple[str, float]]
) -> None:
    assert shown(CountFamily, DistributionFamily, counted, seen) == shown(Counter, Histogram, counted, seen)


def test_other_labels_are_refused() -> None:
    family = CountFamily("events_total", "Events.", ("kind",), registry=CollectorRegistry())
    with pytest.raises(ValueError, match="the labels of events_total are kind"):
        family.labels(colour="red")


def test_a_name_is_taken_once() -> None:
    registry = CollectorRegistry()
    DistributionFamily("seconds", "Seconds.", (), registry=registry, buckets=BUCKETS)
    with pytest.raises(ValueError, match=r"[Dd]uplicate"):
        CountFamily("seconds", "Others.", (), registry=registry)
