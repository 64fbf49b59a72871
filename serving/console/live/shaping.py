"""From the series that answer a panel's queries to what the page draws."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from monitoring.panels.panel import Kind, Panel
from serving.console.live.readings import Alert, Bar, Line, Reading

NO_DATA = "There is no data in this time."

LARGEST = 1e300
"""What is larger is no count and no time, and leaves no room for an axis."""

LAST_SECOND = 253_402_300_799
"""Of the last year that a date has, 9999."""

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Found:
    """A series that answers the query of this number; its points may be NaN."""

    query: int
    labels: Mapping[str, str]
    points: Points


def shaped(panel: Panel, begin: float, end: float, found: Sequence[Found]) -> Reading:
    """Return the reading of a panel; it says so where there is nothing to draw."""
    lines: tuple[Line, ...] = ()
    bars: tuple[Bar, ...] = ()
    alerts: tuple[Alert, ...] = ()
    if panel.kind is Kind.HEATMAP:
        lines = buckets(found)
    elif panel.kind is Kind.BARS:
        bars = groups(panel, found)
    elif panel.kind is Kind.ALERTS:
        alerts = active(found)
    else:
        lines = named(panel, [series for series in found if series.query < len(panel.queries)])
    says = None if lines or bars or alerts or panel.kind is Kind.ALERTS else NO_DATA
    return Reading(panel, begin, end, lines, bars, alerts, explained(panel, found), says=says)


def finite(points: Points) -> tuple[tuple[float, float], ...]:
    return tuple((at, value) for at, value in points if dated(at) and abs(value) < LARGEST)


def dated(seconds: float) -> bool:
    """Return whether unix seconds are a time that can be written."""
    return 0 <= seconds <= LAST_SECOND


def filled(legend: str, labels: Mapping[str, str]) -> str:
    """Return a legend with the values of labels in it."""
    return re.sub(r"{{ *(\w+) *}}", lambda found: labels.get(found[1], ""), legend).strip()


def explained(panel: Panel, found: Sequence[Found]) -> dict[str, float]:
    """Return what chance explains of each line's last value."""
    chance = [series for series in found if series.query >= len(panel.queries)]
    return {line.name: line.points[-1][1] for line in named(panel, chance)}


def named(panel: Panel, found: Sequence[Found]) -> tuple[Line, ...]:
    """Return the lines by query, then by name; one without a name has the panel's title."""
    lines = [
        (series.query, Line(filled(panel.asked[series.query].legend, series.labels) or panel.title, points))
        for series in found
        if (points := finite(series.points))
    ]
    return tuple(line for _, line in sorted(lines, key=lambda line: (line[0], line[1].name)))


def buckets(found: Sequence[Found]) -> tuple[Line, ...]:
    """Return how many each bucket has alone, from those at or below each bound."""
    ascending = sorted(found, key=lambda series: float(series.labels.get("le", "nan")))
    lines, below = [], dict[float, float]()
    for series in ascending:
        here = dict(finite(series.points))
        alone = tuple((at, max(0.0, value - below.get(at, 0.0))) for at, value in here.items())
        lines.append(Line(series.labels.get("le", ""), alone))
        below = here
    return tuple(lines) if any(line.points for line in lines) else ()


def groups(panel: Panel, found: Sequence[Found]) -> tuple[Bar, ...]:
    values: dict[str, dict[str, float]] = {}
    for series in found:
        if points := finite(series.points):
            group = values.setdefault(series.labels.get("bin", ""), {})
            group[panel.queries[series.query].legend] = points[-1][1]
    return tuple(Bar(name, group) for name, group in sorted(values.items()))


def active(found: Sequence[Found]) -> tuple[Alert, ...]:
    """Return the alerts that the first query finds; the second has the second in which each began."""
    own = ("__name__", "alertname", "alertstate", "severity")

    def rest(labels: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
        return tuple(
            sorted((name, value) for name, value in labels.items() if name not in ("__name__", "alertstate"))
        )

    since = {
        rest(series.labels): series.points[-1][1]
        for series in found
        if series.query == 1 and dated(series.points[-1][1])
    }
    return tuple(
        Alert(
            labels.get("alertname", ""),
            labels.get("severity", ""),
            labels.get("alertstate", ""),
            {name: value for name, value in sorted(labels.items()) if name not in own},
            since.get(rest(labels)),
        )
        for labels in (series.labels for series in found if series.query == 0)
    )
