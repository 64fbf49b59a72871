"""What this process counted in the last minutes, in a ring of bounded size.

Every few seconds it keeps the values of the metrics that panels read, of all workers together. Where they
are many it keeps fewer moments of them, and where they are very many it leaves metrics out.
"""

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

SECONDS = 5
"""Between two moments, where all fit."""

KEPT_SECONDS = 15 * 60
MOST_BYTES = 2 * 1024 * 1024
SPARE_BYTES = 128 * 1024
"""For what is not counted below: the ring itself, and growing tables."""

SERIES_BYTES = 230
"""Of a series in the index: its labels, its place, and their share of a table that may have just doubled."""

STRING_BYTES = 65
MOMENT_BYTES = 200
INDEX_SHARE = 0.5
"""Of the whole, at most for the index: metrics that do not fit are left out."""


class Sampled(Protocol):
    """A metric as prometheus_client collects it."""

    @property
    def samples(self) -> Sequence[Any]:
        """Return its values, each with the name and the labels of its series."""
        ...


@dataclass(frozen=True)
class Past:
    """The values of a moment a row, in columns by series; NaN where a series was not there."""

    times: NDArray[np.float64]
    values: NDArray[np.float64]
    columns: dict[str, dict[tuple[str, ...], int]]
    """By name and values of the labels."""

    labels: dict[str, tuple[str, ...]]
    left_out: frozenset[str]
    recorded: Mapping[str, Mapping[tuple[tuple[str, str], ...], NDArray[np.float64]]] = field(
        default_factory=dict
    )
    """What rules would have recorded, by name and labels."""


class History:
    """Reads `names` from what `collect` returns; the first of them are the last to be left out."""

    def __init__(
        self, collect: Callable[[], Iterable[Sampled]], names: Iterable[str], clock: Callable[[], float]
    ) -> None:
        self._collect = collect
        self._names = list(dict.fromkeys(names))
        self._clock = clock
        self._columns: dict[str, dict[tuple[str, ...], int]] = {}
        self._labels: dict[str, tuple[str, ...]] = {}
        self._strings: dict[str, str] = {}
        self._left_out: set[str] = set()
        self._moments: list[tuple[float, array[float]]] = []
        self._series = 0
        self._index_bytes = 0
        self._every = 1
        self._ticks = 0
        self.since = clock()

    @property
    def moments(self) -> int:
        return len(self._moments)

    def tick(self) -> None:
        """Keep this moment, or where moments are kept more rarely, count it."""
        if self._ticks % self._every == 0:
            self.keep()
        self._ticks += 1

    def keep(self) -> None:
        """Keep the values of now; where the clock was set back, moments that have yet to come are dropped."""
        read: dict[str, list[Any]] = {}
        for metric in self._collect():
            for sample in metric.samples:
                read.setdefault(sample.name, []).append(sample)
        now = self._clock()
        found = [(name, samples) for name in self._names if (samples := read.get(name))]
        for name, samples in found:
            self._admit(name, samples)
        values = array("d", [np.nan]) * self._series
        for name, samples in found:
            columns = self._columns.get(name, {})
            for sample in samples if name not in self._left_out else ():
                values[columns[tuple(sample.labels.values())]] = sample.value
        earlier = [moment for moment in self._moments if 0 < now - moment[0] <= KEPT_SECONDS]
        self._moments = [*earlier, (now, values)]
        while self._bytes() > MOST_BYTES - SPARE_BYTES and len(self._moments) > 1:
            del self._moments[-2::-2]
            self._every *= 2

    def past(self) -> Past:
        """Return a copy, which another thread may read."""
        values = np.full((len(self._moments), self._series), np.nan)
        for row, (_, moment) in zip(values, self._moments, strict=True):
            row[: len(moment)] = moment
        return Past(
            np.array([time for time, _ in self._moments]),
            values,
            {name: dict(columns) for name, columns in self._columns.items()},
            dict(self._labels),
            frozenset(self._left_out),
        )

    def _admit(self, name: str, samples: Sequence[Any]) -> None:
        """Give new series a column, or leave the metric out where they are too many."""
        if name in self._left_out:
            return
        columns = self._columns.setdefault(name, {})
        new = [key for sample in samples if (key := tuple(sample.labels.values())) not in columns]
        if not new:
            return
        strings = {value for key in new for value in key if value not in self._strings}
        needed = sum(SERIES_BYTES + 8 * len(key) for key in new)
        needed += sum(STRING_BYTES + 4 * len(value) for value in strings)
        if self._index_bytes + needed > INDEX_SHARE * MOST_BYTES:
            self._left_out.add(name)
            return
        self._index_bytes += needed
        self._labels[name] = tuple(samples[0].labels)
        for key in new:
            kept = tuple(self._strings.setdefault(value, value) for value in key)
            columns[kept] = self._series
            self._series += 1

    def _bytes(self) -> int:
        return self._index_bytes + sum(MOMENT_BYTES + 8 * len(values) for _, values in self._moments)
