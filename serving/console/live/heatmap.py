"""A histogram's buckets over time: a row a bucket, and darker where more fell into it."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from math import inf

from serving.console.live.axes import Tick, TimeAxis
from serving.console.live.drawing import HEIGHT, WIDTH, usual_distance
from serving.console.live.readings import Line, Reading
from serving.console.live.units import written

LEVELS = 6
MOST_COLUMNS = 60
MOST_LABELS = 10


@dataclass(frozen=True)
class Level:
    """All cells of one shade, from 1 to LEVELS, as one path."""

    shade: int
    path: str

    @property
    def opacity(self) -> str:
        return f"{self.shade / LEVELS:.2f}"


@dataclass(frozen=True)
class Heatmap:
    levels: tuple[Level, ...]
    values: tuple[Tick, ...]
    times: tuple[Tick, ...]
    largest: str
    """What the darkest cell stands for."""


@dataclass(frozen=True)
class Cell:
    shade: int
    row: int
    begin: float
    end: float


def heatmap(reading: Reading) -> Heatmap:
    lines = [line for line in reading.lines if line.points]
    axis = TimeAxis(reading.begin, reading.end)
    columns = thinned(sorted({time for line in lines for time, _ in line.points}))
    table = [[mean(line, times) for times in columns] for line in lines]
    largest = max((value for row in table for value in row), default=0.0)
    edges = column_edges(columns, axis, usual_distance(lines))
    cells = [
        Cell(shade(value, largest), number, *edge)
        for number, row in enumerate(table)
        for value, edge in zip(row, edges, strict=True)
        if value > 0
    ]
    levels = [
        Level(level, cells_path([cell for cell in cells if cell.shade == level], len(lines)))
        for level in range(1, LEVELS + 1)
    ]
    return Heatmap(
        tuple(level for level in levels if level.path),
        tuple(bucket_ticks([line.name for line in lines])),
        axis.ticks,
        written(largest, "short"),
    )


def thinned(times: Sequence[float]) -> list[Sequence[float]]:
    """Return the times in at most MOST_COLUMNS groups of neighbours."""
    size = -(-len(times) // MOST_COLUMNS) or 1
    return [times[start : start + size] for start in range(0, len(times), size)]


def mean(line: Line, times: Sequence[float]) -> float:
    begin = bisect_left(line.points, (times[0],))
    end = bisect_right(line.points, (times[-1], inf))
    known = [value for _, value in line.points[begin:end]]
    return sum(known) / len(known) if known else 0.0


def column_edges(
    columns: Sequence[Sequence[float]], axis: TimeAxis, distance: float
) -> list[tuple[float, float]]:
    """Return where each column begins and ends: a count is of the time before its point."""
    return [
        (WIDTH * max(0.0, axis.share(times[0] - distance)), WIDTH * min(1.0, axis.share(times[-1])))
        for times in columns
    ]


def shade(value: float, largest: float) -> int:
    return max(1, round(LEVELS * value / largest))


def cells_path(cells: Sequence[Cell], rows: int) -> str:
    """Return one path of all cells; neighbours of a row are one rectangle."""
    height = HEIGHT / rows
    drawn = []
    for row, of_row in groupby(cells, key=lambda cell: cell.row):
        for begin, end in merged([(cell.begin, cell.end) for cell in of_row]):
            top = HEIGHT - height * (row + 1)
            drawn.append(f"M{begin:.1f} {top:.1f}H{end:.1f}v{height:.1f}H{begin:.1f}z")
    return "".join(drawn)


def merged(spans: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    together: list[tuple[float, float]] = []
    for begin, end in spans:
        if together and begin - together[-1][1] < 1:
            together[-1] = (together[-1][0], end)
        else:
            together.append((begin, end))
    return together


def bucket_names(bounds: Sequence[str]) -> list[str]:
    """Return what each bucket holds, from its bounds: "0.8 to 0.9" and "above 1"."""
    names = []
    for number, bound in enumerate(bounds):
        below = bounds[number - 1] if number else None
        if bound == "+Inf":
            names.append(f"above {below}" if below else "all")
        else:
            names.append(f"{below} to {bound}" if below else f"up to {bound}")
    return names


def bucket_ticks(bounds: Sequence[str]) -> list[Tick]:
    """Return labels in the middle of the rows, the lowest bucket at the bottom."""
    every = -(-len(bounds) // MOST_LABELS) or 1
    return [
        Tick(100 * (1 - (number + 0.5) / len(bounds)), name)
        for number, name in enumerate(bucket_names(bounds))
        if number % every == 0
    ]
