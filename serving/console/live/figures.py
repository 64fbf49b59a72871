"""What a template shows of single values: figures, words, dials, pairs of bars, alerts."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from monitoring.panels.panel import Kind, Panel
from serving.console.live.axes import clock
from serving.console.live.drawing import STYLES, colour_of
from serving.console.live.readings import Alert, Reading
from serving.console.live.units import written

FULL = 100
"""The length of a dial and of the longest bar."""

HIDDEN = frozenset({"namespace", "job"})
"""Labels of alerts that are the same for all."""


@dataclass(frozen=True)
class Arc:
    """A part of a dial from 0 to FULL."""

    begin: float
    length: float
    colour: str


@dataclass(frozen=True)
class Figure:
    """One value, in words or with its unit, in the colour of its threshold."""

    name: str
    value: float
    text: str
    colour: str

    @property
    def filled(self) -> float:
        """How much of a dial a share fills."""
        return round(FULL * min(max(self.value, 0.0), 1.0), 2)


def figures(reading: Reading) -> list[Figure]:
    return [figure(line.name, line.points[-1][1], reading.panel) for line in reading.lines if line.points]


def figure(name: str, value: float, panel: Panel) -> Figure:
    text = panel.words.get(f"{value:g}") if panel.kind is Kind.STATUS else None
    colour = colour_of(value, panel.steps) if panel.steps else "text"
    return Figure(name, value, text or written(value, panel.unit), colour)


def ring(panel: Panel) -> list[Arc]:
    """Return the thresholds of a dial as arcs."""
    bounds = [0.0 if bound is None else min(bound, 1.0) for bound, _ in panel.steps]
    return [
        Arc(round(FULL * begin, 2), round(FULL * (end - begin), 2), colour)
        for (begin, end), (_, colour) in zip(pairwise([*bounds, 1.0]), panel.steps, strict=True)
    ]


@dataclass(frozen=True)
class Length:
    """A bar: None where the query has no value for its group."""

    name: str
    style: int
    value: float | None
    text: str
    percent: str


@dataclass(frozen=True)
class BarGroup:
    name: str
    lengths: tuple[Length, ...]


def bar_groups(reading: Reading) -> list[BarGroup]:
    """Return the groups in the given order; the longest bar fills the width."""
    names = bar_names(reading)
    largest = max((value for bar in reading.bars for value in bar.values.values()), default=0.0) or 1.0
    return [
        BarGroup(
            bar.name,
            tuple(
                length(name, number, bar.values.get(name), largest, reading.panel.unit)
                for number, name in enumerate(names)
            ),
        )
        for bar in reading.bars
    ]


def length(name: str, number: int, value: float | None, largest: float, unit: str) -> Length:
    text = "no data" if value is None else written(value, unit)
    return Length(name, number % STYLES, value, text, f"{FULL * max(value or 0.0, 0.0) / largest:.2f}%")


def bar_names(reading: Reading) -> list[str]:
    return list(dict.fromkeys(name for bar in reading.bars for name in bar.values))


@dataclass(frozen=True)
class ShownAlert:
    alert: Alert
    about: str
    """Its labels, such as "feature age, version v1"."""

    since: str


def shown_alerts(alerts: Sequence[Alert]) -> list[ShownAlert]:
    """Return alerts, the firing ones first and critical ones before others."""
    ranked = sorted(
        alerts, key=lambda alert: (alert.state != "firing", alert.severity != "critical", alert.name)
    )
    return [
        ShownAlert(
            alert,
            ", ".join(
                f"{name.replace('_', ' ')} {value}"
                for name, value in alert.labels.items()
                if name not in HIDDEN and value
            ),
            clock(alert.since, seconds=True) if alert.since is not None else "",
        )
        for alert in ranked
    ]
