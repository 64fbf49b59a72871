"""The values of a chart as a table: a row a moment, the newest first, a column a line."""

from collections.abc import Sequence
from dataclasses import dataclass

from serving.console.live.axes import clock
from serving.console.live.readings import Line
from serving.console.live.units import written

MOST_MOMENTS = 16


@dataclass(frozen=True)
class Cell:
    value: float
    text: str


@dataclass(frozen=True)
class Moment:
    time: float
    text: str
    cells: tuple[Cell | None, ...]
    """None where a line has no value then."""


@dataclass(frozen=True)
class ValueTable:
    names: tuple[str, ...]
    moments: tuple[Moment, ...]
    left_out: int
    """How many moments between the shown ones the table leaves to the chart."""


def value_table(lines: Sequence[Line], unit: str, names: Sequence[str] | None = None) -> ValueTable:
    """Return the table of these lines, with at most MOST_MOMENTS rows at equal distances."""
    times = sorted({time for line in lines for time, _ in line.points}, reverse=True)
    shown = times[:: -(-len(times) // MOST_MOMENTS) or 1]
    values = [dict(line.points) for line in lines]
    moments = tuple(
        Moment(
            time,
            clock(time, seconds=True),
            tuple(cell(of_line.get(time), unit) for of_line in values),
        )
        for time in shown
    )
    return ValueTable(tuple(names or (line.name for line in lines)), moments, len(times) - len(shown))


def cell(value: float | None, unit: str) -> Cell | None:
    return None if value is None else Cell(value, written(value, unit))
