"""Bootstrap resamples of rows, or above some size of cells of rows that are alike, a few at a time.

docs/decisions/44-cells.md says why cells, and how near their intervals are to those of rows.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
Count = TypeVar("Count", np.uint8, np.uint32)

RESAMPLES = 2000
MOST_ROWS = 10_000
"""With more rows, cells are resampled; and so many cells there are at most."""

CHUNK = 2**20
"""Weights that are held as floats at a time."""


def intervals_of(rows: int) -> str:
    """Return how the intervals of metrics on so many rows are made."""
    units = "the rows" if rows <= MOST_ROWS else "cells of rows alike in class and probability"
    return f"95 % intervals from {RESAMPLES} bootstrap resamples of {units}"


class Resamples(Protocol):
    """How often each resample holds each unit: a row, or a cell of which one row stands for all."""

    @property
    def units(self) -> NDArray[np.int64] | slice:
        """The rows that stand for the units."""

    @property
    def sizes(self) -> Floats | None:
        """The rows of each unit; None where each is a row."""

    def chunks(self) -> Iterator[Floats]:
        """Yield the weights [some resamples, units]."""

    def select(self, member: NDArray[np.bool_]) -> Self:
        """Return the resamples as far as they hold some rows [rows]."""


@dataclass(frozen=True)
class RowResamples:
    """How often each resample holds each row [resamples, rows]."""

    counts: NDArray[np.uint8]
    units = slice(None)
    sizes = None

    def chunks(self) -> Iterator[Floats]:
        return in_chunks(self.counts)

    def select(self, member: NDArray[np.bool_]) -> "RowResamples":
        return RowResamples(self.counts[:, member])


@dataclass(frozen=True)
class CellResamples:
    """The cell of each row [rows], and the number of rows that a resample draws from: these and others."""

    cells: Labels
    drawn: int

    @cached_property
    def _distinct(self) -> tuple[Labels, Labels]:
        _, first, counts = np.unique(self.cells, return_index=True, return_counts=True)
        return first.astype(np.int64), counts.astype(np.int64)

    @property
    def units(self) -> Labels:
        return self._distinct[0]

    @property
    def sizes(self) -> Floats:
        return self._distinct[1].astype(np.float64)

    @cached_property
    def counts(self) -> NDArray[np.uint32]:
        """How often each resample holds rows of each cell [resamples, cells]."""
        shares = np.append(self.sizes, self.drawn - self.sizes.sum()) / self.drawn
        return draw(self.drawn, shares, np.uint32)[:, :-1]

    def chunks(self) -> Iterator[Floats]:
        return in_chunks(self.counts)

    def select(self, member: NDArray[np.bool_]) -> "CellResamples":
        return replace(self, cells=self.cells[member])


def draw(rows: int, shares: Floats, kind: type[Count]) -> NDArray[Count]:
    """Return how many of so many rows are drawn of each share [resamples, shares]: one stream, in chunks."""
    random = np.random.default_rng(0)
    counts = np.empty((RESAMPLES, len(shares)), dtype=kind)
    for chunk in _chunks(len(shares)):
        counts[chunk] = random.multinomial(rows, shares, size=len(counts[chunk]))
    counts.setflags(write=False)
    return counts


@lru_cache(maxsize=1)
def row_resamples(rows: int) -> RowResamples:
    """Return the resamples of so many rows; a row is in none of them more than 255 times."""
    return RowResamples(draw(rows, np.full(rows, 1 / rows), np.uint8))


def in_chunks(counts: NDArray[np.integer]) -> Iterator[Floats]:
    for chunk in _chunks(counts.shape[1]):
        yield counts[chunk].astype(np.float64)


def _chunks(width: int) -> Iterator[slice]:
    length = max(1, CHUNK // max(1, width))
    return (slice(start, start + length) for start in range(0, RESAMPLES, length))
