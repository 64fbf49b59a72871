"""Counters and histograms of one process, in the shape of prometheus_client's and at a tenth of their cost.

The library's objects take a lock and look at names for each event, so that any thread may use them. The
application lives in one thread, and counts by adding to a number. A scrape goes through the library's
registry and exposition as ever. Several workers need the library's own, which share a file.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.utils import floatToGoString


class Count:
    """The events of one set of labels."""

    __slots__ = ("total",)

    def __init__(self) -> None:
        self.total = 0.0

    def inc(self, amount: float = 1) -> None:
        self.total += amount


class Distribution:
    """The values of one set of labels: how many lie at or below each bound, and their sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * len(bounds)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


Child = TypeVar("Child", Count, Distribution)


class Family(Generic[Child]):
    """A metric with what was counted for each set of its labels; ValueError where labels have other names."""

    def __init__(
        self, name: str, documentation: str, names: Sequence[str], registry: CollectorRegistry
    ) -> None:
        self._name = name
        self._documentation = documentation
        self._names = tuple(names)
        self._children: dict[tuple[str, ...], Child] = {}
        registry.register(self)

    def labels(self, **labels: str) -> Child:
        if tuple(labels) != self._names:
            raise ValueError(f"the labels of {self._name} are {', '.join(self._names)}")
        values = tuple(labels.values())
        child = self._children.get(values)
        if child is None:
            child = self._children[values] = self._child()
        return child

    def _child(self) -> Child:
        raise NotImplementedError

    def collect(self) -> Iterator[Metric]:
        """Yield the metric as the library's exposition takes it."""
        raise NotImplementedError


class CountFamily(Family[Count]):
    def _child(self) -> Count:
        return Count()

    def describe(self) -> Iterator[Metric]:
        yield CounterMetricFamily(self._name, self._documentation)

    def collect(self) -> Iterator[Metric]:
        family = CounterMetricFamily(self._name, self._documentation, labels=self._names)
        for values, child in self._children.items():
            family.add_metric(values, child.total)
        yield family


class DistributionFamily(Family[Distribution]):
    def __init__(
        self,
        name: str,
        documentation: str,
        names: Sequence[str],
        registry: CollectorRegistry,
        buckets: Iterable[float],
    ) -> None:
        self._bounds = [*buckets, float("inf")]
        self._shown = [floatToGoString(bound) for bound in self._bounds]
        super().__init__(name, documentation, names, registry)

    def _child(self) -> Distribution:
        return Distribution(self._bounds)

    def describe(self) -> Iterator[Metric]:
        yield HistogramMetricFamily(self._name, self._documentation)

    def collect(self) -> Iterator[Metric]:
        family = HistogramMetricFamily(self._name, self._documentation, labels=self._names)
        for values, child in self._children.items():
            buckets = list(zip(self._shown, accumulate(child.counts), strict=True))
            family.add_metric(values, buckets, child.total)
        yield family
