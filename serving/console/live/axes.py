"""Axes: round values and round times along the sides of a chart, and where they lie."""

from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil, floor, log10

from serving.console.live.units import DECIMALS, written_tick

MOST_TICKS = 5
SMALLEST = 10.0**-DECIMALS
"""An axis is not shorter: what is less is written as 0."""

INTERVALS = (60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
MOST_TIMES = 5
"""A label has 36 pixels of the 240 that a chart has on a phone."""


@dataclass(frozen=True)
class Tick:
    """A label at a position in percent of the axis, from the left or from the top."""

    position: float
    text: str
    time: int | None = None
    """Unix seconds, for a browser to write the time of its own zone."""

    @property
    def percent(self) -> str:
        return f"{self.position:.2f}%"


@dataclass(frozen=True)
class ValueAxis:
    """From `low` at the bottom to `high` at the top, both round."""

    low: float
    high: float
    step: float
    unit: str

    def share(self, value: float) -> float:
        """Return where a value lies between the top, 0, and the bottom, 1."""
        return (self.high - value) / (self.high - self.low)

    @property
    def ticks(self) -> tuple[Tick, ...]:
        count = round((self.high - self.low) / self.step)
        values = [self.low + number * self.step for number in range(count + 1)]
        return tuple(
            Tick(100 * self.share(value), written_tick(value, self.step, self.unit)) for value in values
        )


def value_axis(low: float, high: float, unit: str) -> ValueAxis:
    """Return an axis that has 0 and both values on it."""
    low, high = min(low, 0.0), max(high, 0.0)
    if high - low < SMALLEST:
        low, high = 0.0, 1.0
    step = round_step((high - low) / MOST_TICKS)
    return ValueAxis(step * floor(low / step + 1e-9), step * ceil(high / step - 1e-9), step, unit)


def round_step(least: float) -> float:
    """Return the smallest of 1, 2 and 5 times a power of ten that is not less."""
    magnitude = 10.0 ** floor(log10(least))
    return next(factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude >= least * (1 - 1e-9))


@dataclass(frozen=True)
class TimeAxis:
    """From `begin` at the left to `end` at the right, in unix seconds."""

    begin: float
    end: float

    def share(self, time: float) -> float:
        return (time - self.begin) / (self.end - self.begin)

    @property
    def ticks(self) -> tuple[Tick, ...]:
        length = self.end - self.begin
        step = next((size for size in INTERVALS if length / size <= MOST_TIMES), INTERVALS[-1])
        first = ceil(self.begin / step) * step
        times = range(first, floor(self.end) + 1, step)
        return tuple(Tick(100 * self.share(time), clock(time), time) for time in times)


def clock(time: float, *, seconds: bool = False) -> str:
    """Return the time of day, in UTC."""
    return datetime.fromtimestamp(time, UTC).strftime("%H:%M:%S" if seconds else "%H:%M")
