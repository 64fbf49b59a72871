"""What the live page shows: sections of panels with their values, wherever these come from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from monitoring.panels.panel import Panel
from serving.console.targets import Target


@dataclass(frozen=True)
class Line:
    """One series of a panel."""

    name: str
    """Its legend, filled in; of a HEATMAP the bucket's upper bound."""

    points: tuple[tuple[float, float], ...]
    """Unix seconds and value, ascending and never NaN; one point where a panel shows a single value."""


@dataclass(frozen=True)
class Bar:
    """One group of bars, such as a bin of a feature."""

    name: str
    values: Mapping[str, float]
    """By legend of the query."""


@dataclass(frozen=True)
class Alert:
    """An alert that is pending or firing; `since` is in unix seconds."""

    name: str
    severity: str
    state: str
    labels: Mapping[str, str]
    since: float | None


@dataclass(frozen=True)
class Reading:
    """What a panel shows of a time range, in unix seconds."""

    panel: Panel
    begin: float
    end: float
    lines: tuple[Line, ...] = ()
    """Of a HEATMAP one line a bucket, from the lowest bound up, with the count of that bucket alone."""

    bars: tuple[Bar, ...] = ()
    alerts: tuple[Alert, ...] = ()
    explained: Mapping[str, float] = field(default_factory=dict)
    """By the name of a line how much of its last value chance explains; all of it, where it is not here."""

    note: str | None = None
    """What is left out, in one sentence."""

    says: str | None = None
    """Why there is no data, in one sentence; shown instead of a chart."""


@dataclass(frozen=True)
class Section:
    """Panels under one heading."""

    title: str
    readings: tuple[Reading, ...]


@dataclass(frozen=True)
class Live:
    """Everything that the page shows."""

    source: str
    """Where the values come from, such as "Prometheus, all pods"."""

    problem: str | None
    """Why the source does not answer, in one sentence."""

    sections: tuple[Section, ...]

    minutes: int | None = None
    """The whole time that the source knows; None where it has any."""


class LiveSource(Protocol):
    """Answers what the page asks; it never raises for what its own source does wrong."""

    async def read(self, target: Target, minutes: int, feature: str | None) -> Live:
        """Return the panels of a model over the last minutes; `feature` chooses the one of its details."""
        ...
