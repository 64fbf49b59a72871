"""Counters and histograms in plain numbers: cheaper than the library's (docs/decisions/20-counts.md).

prometheus_client takes a lock and looks up names for each event, and with several workers packs each value
into a file. The application runs in one thread, and an event adds to a number: in a list, or in a file that
is mapped into memory where several workers share counts. A scrape still goes through the library's registry
and exposition, and adds up the files of all workers.
"""

import json
import mmap
import os
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, Exemplar, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.utils import floatToGoString

CAPACITY = 1 << 15
"""Most numbers of a worker's file; a pod needs a few hundred."""

Series = dict[tuple[str, ...], list[float]]
"""The numbers of a metric by label values."""


class Cells:
    """The numbers of all series, by metric and label values; in a pair of files where workers share them."""

    def __init__(self, file: Path | None) -> None:
        self.values: Any = []
        self._ranges: dict[tuple[str, tuple[str, ...]], tuple[int, int]] = {}
        self._end = 0
        self._keys = file and file.with_suffix(".keys")
        if file:
            with file.with_suffix(".cells").open("w+b") as cells:
                cells.truncate(CAPACITY * 8)
                self.values = memoryview(mmap.mmap(cells.fileno(), 0)).cast("d")

    def allocate(self, metric: str, labels: tuple[str, ...], number: int) -> int:
        """Return the index of the first number of these labels; new ones are 0."""
        key = (metric, labels)
        if key not in self._ranges:
            begin, self._end = self._end, self._end + number
            self._ranges[key] = (begin, self._end)
            if self._keys:
                if self._end > CAPACITY:
                    raise MemoryError(f"a worker has room for {CAPACITY} numbers to count, and needs more")
                with self._keys.open("a", encoding="utf-8") as keys:
                    keys.write(json.dumps([metric, labels, begin, self._end]) + "\n")
            else:
                self.values += [0.0] * number
        return self._ranges[key][0]

    def read(self) -> dict[str, Series]:
        """Return the numbers of this process."""
        read: dict[str, Series] = {}
        for (metric, labels), (begin, end) in self._ranges.items():
            read.setdefault(metric, {})[labels] = self.values[begin:end]
        return read


def read_files(folder: Path, kind: str) -> dict[str, Series]:
    """Return the sums over all workers' files of a kind; workers may start or end meanwhile."""
    sums: dict[str, Series] = {}
    for file in folder.glob(f"{kind}-*.keys"):
        with suppress(FileNotFoundError):
            values: Any = memoryview(file.with_suffix(".cells").read_bytes()).cast("d")
            for line in file.read_text(encoding="utf-8").splitlines(keepends=True):
                if not line.endswith("\n"):  # is being written
                    break
                metric, labels, begin, end = json.loads(line)
                series, key, more = sums.setdefault(metric, {}), tuple(labels), values[begin:end].tolist()
                series[key] = (
                    [sum(pair) for pair in zip(series[key], more, strict=True)] if key in series else more
                )
    return sums


class Count:
    """One series: a number of events, or one that goes up and down."""

    __slots__ = ("_cells", "_index")

    def __init__(self, cells: Cells, index: int) -> None:
        self._cells = cells.values
        self._index = index

    def inc(self, amount: float = 1) -> None:
        self._cells[self._index] += amount


Exemplars = dict[int, Exemplar]
"""By bucket, the last value that belongs to a trace."""


class Distribution:
    """One series of observed values: how many are at or below each bound, and their sum."""

    __slots__ = ("_bounds", "_cells", "_exemplars", "_index", "_sum")

    def __init__(self, cells: Cells, index: int, bounds: Sequence[float], exemplars: Exemplars) -> None:
        self._cells = cells.values
        self._index = index
        self._bounds = bounds
        self._sum = index + len(bounds)
        self._exemplars = exemplars

    def observe(self, value: float, trace_id: str = "") -> None:
        cells = self._cells
        bucket = bisect_left(self._bounds, value)
        cells[self._index + bucket] += 1
        cells[self._sum] += value
        if trace_id:
            self._exemplars[bucket] = Exemplar({"trace_id": trace_id}, value, time.time())


class Family:
    """A metric with its series; ValueError where labels have other names."""

    _shown_as: type[CounterMetricFamily | GaugeMetricFamily] = CounterMetricFamily

    def __init__(self, cells: Cells, name: str, documentation: str, names: Sequence[str]) -> None:
        self.name = name
        self._cells = cells
        self._documentation = documentation
        self._names = tuple(names)

    def labels(self, **labels: str) -> Any:
        if tuple(labels) != self._names:
            raise ValueError(f"the labels of {self.name} are {', '.join(self._names)}")
        return self._child(tuple(labels.values()))

    def _child(self, labels: tuple[str, ...]) -> Any:
        return Count(self._cells, self._cells.allocate(self.name, labels, 1))

    def metric(self, series: Series) -> Metric:
        """Return the metric for the library's exposition."""
        family = self._shown_as(self.name, self._documentation, labels=self._names)
        for labels, (value,) in series.items():
            family.add_metric(labels, value)
        return family


class GaugeFamily(Family):
    """A metric that goes up and down."""

    _shown_as = GaugeMetricFamily


Bucket = tuple[str, float]
BucketOfTrace = tuple[str, float, Exemplar]


class DistributionFamily(Family):
    """A histogram. Exemplars stay in the process that observed them: workers add up numbers alone."""

    def __init__(
        self, cells: Cells, name: str, documentation: str, names: Sequence[str], buckets: Sequence[float]
    ) -> None:
        super().__init__(cells, name, documentation, names)
        self._exemplars: dict[tuple[str, ...], Exemplars] = {}
        self._bounds = [*buckets, float("inf")]
        self._shown = [floatToGoString(bound) for bound in self._bounds]

    def _child(self, labels: tuple[str, ...]) -> Any:
        index = self._cells.allocate(self.name, labels, len(self._bounds) + 1)
        return Distribution(self._cells, index, self._bounds, self._exemplars.setdefault(labels, {}))

    def metric(self, series: Series) -> Metric:
        family = HistogramMetricFamily(self.name, self._documentation, labels=self._names)
        for labels, (*counts, total) in series.items():
            buckets = list(zip(self._shown, accumulate(counts), strict=True))
            family.add_metric(labels, self._with_exemplars(labels, buckets), total)
        return family

    def _with_exemplars(self, labels: tuple[str, ...], buckets: list[Bucket]) -> list[Bucket | BucketOfTrace]:
        """Return the buckets with what this process knows of traces."""
        exemplars = self._exemplars.get(labels, {})
        return [
            (*bucket, exemplars[number]) if number in exemplars else bucket
            for number, bucket in enumerate(buckets)
        ]


class Counts:
    """The counters and histograms of a process, in a registry; with a folder, those of all workers.

    Counts of a dead worker stay; its in-flight requests do not: `forget`.
    """

    def __init__(self, registry: CollectorRegistry, folder: Path | None) -> None:
        self._folder = folder
        own = f"{os.getpid()}-{time.time_ns()}"
        self._kept = Cells(folder and folder / f"kept-{own}")
        self._live = Cells(folder and folder / f"live-{own}")
        self._families: list[Family] = []
        self._late: list[Callable[[], None]] = []
        registry.register(self)

    def counter(self, name: str, documentation: str, names: Sequence[str]) -> Family:
        return self._made(Family(self._kept, name, documentation, names))

    def histogram(
        self, name: str, documentation: str, names: Sequence[str], buckets: Sequence[float]
    ) -> Family:
        return self._made(DistributionFamily(self._kept, name, documentation, names, buckets))

    def up_down_counter(self, name: str, documentation: str, names: Sequence[str]) -> Family:
        return self._made(GaugeFamily(self._live, name, documentation, names))

    def before_collecting(self, count: Callable[[], None]) -> None:
        """Call `count` before each scrape that this process answers."""
        self._late.append(count)

    def collect(self) -> Iterator[Metric]:
        for count in self._late:
            count()
        if self._folder:
            read = read_files(self._folder, "kept") | read_files(self._folder, "live")
        else:
            read = self._kept.read() | self._live.read()
        for family in self._families:
            yield family.metric(read.get(family.name, {}))

    def _made(self, family: Family) -> Family:
        self._families.append(family)
        return family


def forget(folder: Path, worker: int) -> None:
    """Take the in-flight requests of a dead worker out of the sums."""
    for file in folder.glob(f"live-{worker}-*"):
        file.unlink(missing_ok=True)
