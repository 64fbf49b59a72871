"""What a template draws of lines over time: paths in a field of fixed size, which a page stretches."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from statistics import median

from serving.console.live.axes import Tick, TimeAxis, ValueAxis, value_axis
from serving.console.live.readings import Line, Reading
from serving.console.live.units import written

WIDTH, HEIGHT = 1000, 200
"""Of the field that paths are drawn in."""

STYLES = 8
"""Colours that the stylesheet has; each has its own dashes, too."""

GAP = 1.9
"""Points that are further apart than so many usual distances are not connected."""


@dataclass(frozen=True)
class Curve:
    """A drawn line, and what the legend says of it."""

    name: str
    style: int
    path: str
    area: str
    last: float
    largest: float
    unit: str
    colour: str | None
    """Of its last value, where the panel has thresholds."""

    @property
    def last_written(self) -> str:
        return written(self.last, self.unit)

    @property
    def largest_written(self) -> str:
        return written(self.largest, self.unit)


@dataclass(frozen=True)
class Threshold:
    """A value from which on another colour holds."""

    position: float
    colour: str
    text: str


@dataclass(frozen=True)
class LineChart:
    curves: tuple[Curve, ...]
    values: tuple[Tick, ...]
    times: tuple[Tick, ...]
    thresholds: tuple[Threshold, ...]


def line_chart(reading: Reading) -> LineChart:
    """Return the chart; where the panel has thresholds the curve with the highest last value comes first."""
    panel, lines = reading.panel, [line for line in reading.lines if line.points]
    bounds = [bound for bound, _ in panel.steps if bound is not None]
    drawn = [value for line in lines for _, value in line.points] + bounds
    values = value_axis(min(drawn), max(drawn), panel.unit)
    times = TimeAxis(reading.begin, reading.end)
    distance = usual_distance(lines)
    curves = [curve(line, number, reading, (times, values), distance) for number, line in enumerate(lines)]
    if panel.steps:
        curves.sort(key=lambda drawn: -drawn.last)
    thresholds = [
        Threshold(100 * values.share(bound), colour, written(bound, panel.unit))
        for bound, colour in panel.steps
        if bound is not None
    ]
    return LineChart(tuple(curves), values.ticks, times.ticks, tuple(thresholds))


def curve(
    line: Line, number: int, reading: Reading, axes: tuple[TimeAxis, ValueAxis], distance: float
) -> Curve:
    last = line.points[-1][1]
    pieces = [placed(piece, *axes) for piece in connected(line.points, distance)]
    bottom = HEIGHT * axes[1].share(0)
    return Curve(
        name=line.name,
        style=number % STYLES,
        path="".join(path(piece) for piece in pieces),
        area="".join(f"{path(piece)}V{bottom:g}H{piece[0][0]:g}Z" for piece in pieces if len(piece) > 1),
        last=last,
        largest=max(value for _, value in line.points),
        unit=reading.panel.unit,
        colour=curve_colour(line.name, last, reading),
    )


def curve_colour(name: str, last: float, reading: Reading) -> str | None:
    """Return the colour of a last value: the lowest step's for what chance explains."""
    steps = reading.panel.steps
    if reading.panel.explained_by and last <= reading.explained.get(name, inf):
        return steps[0][1]
    return colour_of(last, steps) if steps else None


def usual_distance(lines: Sequence[Line]) -> float:
    """Return the seconds between two points that nothing is missing between."""
    distances = [second[0] - first[0] for line in lines for first, second in pairwise(line.points)]
    return median(distances) if distances else 1.0


def connected(points: Sequence[tuple[float, float]], distance: float) -> list[list[tuple[float, float]]]:
    """Return the points in pieces that end where a value is missing."""
    pieces = [[points[0]]]
    for before, point in pairwise(points):
        if point[0] - before[0] > GAP * distance:
            pieces.append([])
        pieces[-1].append(point)
    return pieces


def placed(
    points: Sequence[tuple[float, float]], times: TimeAxis, values: ValueAxis
) -> list[tuple[float, float]]:
    return [
        (round(WIDTH * times.share(time), 1), round(HEIGHT * values.share(value), 1))
        for time, value in points
    ]


def path(points: Sequence[tuple[float, float]]) -> str:
    """Return the path through points; a single one is a dot, by the round end of a line without length."""
    first, *others = [f"{x:g} {y:g}" for x, y in points]
    return f"M{first}" + ("".join(f"L{point}" for point in others) or "h0")


def colour_of(value: float, steps: Sequence[tuple[float | None, str]]) -> str:
    """Return the colour of a value: the last one whose bound it reaches."""
    reached = [colour for bound, colour in steps if bound is None or value >= bound]
    return reached[-1] if reached else "text"
