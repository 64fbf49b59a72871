"""The live page as its template reads it: each panel drawn, with a sentence and a table that say the same."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from monitoring.panels.expressions import quoted
from monitoring.panels.panel import Kind
from serving.console.live.axes import clock
from serving.console.live.drawing import LineChart, line_chart
from serving.console.live.figures import (
    Arc,
    BarGroup,
    Figure,
    ShownAlert,
    bar_groups,
    bar_names,
    figures,
    ring,
    shown_alerts,
)
from serving.console.live.heatmap import Heatmap, bucket_names, heatmap
from serving.console.live.readings import Live, Reading, Section
from serving.console.live.shaping import NO_DATA
from serving.console.live.tables import ValueTable, value_table
from serving.console.targets import Target

RANGES = {15: "15 minutes", 60: "1 hour", 360: "6 hours"}
EVERY_SECONDS = 5
"""How often a browser reads the page again."""

NO_ALERTS = "No alert is pending or firing."
MOST_SPOKEN = 4
OF_ALL = frozenset({"Alerts", "Traffic", "Objectives"})
"""Sections of what is counted or recorded for the whole release, by no model."""

ALL_MODELS = "Of all models and versions that are served here, not only of the chosen one."
ALL_VERSIONS = "Of all versions of this model: it does not count them apart."
COLUMNS, COLUMNS_OF_WIDE = 4, 2
"""Of a large page, as the stylesheet has them."""

WIDE = frozenset({Kind.LINES, Kind.HEATMAP, Kind.BARS, Kind.ALERTS})


@dataclass(frozen=True)
class ShownPanel:
    """A panel, and what its kind is drawn from; `says` stands in place of a drawing."""

    reading: Reading
    says: str | None = None
    summary: str = ""
    """What the drawing shows, for those who do not see it."""

    lines: LineChart | None = None
    heatmap: Heatmap | None = None
    figures: tuple[Figure, ...] = ()
    ring: tuple[Arc, ...] = ()
    bars: tuple[BarGroup, ...] = ()
    bar_names: tuple[str, ...] = ()
    alerts: tuple[ShownAlert, ...] = ()
    table: ValueTable | None = None

    @property
    def kind(self) -> Kind:
        return self.reading.panel.kind

    @property
    def wide(self) -> bool:
        return self.kind in WIDE


@dataclass(frozen=True)
class ShownSection:
    title: str
    panels: tuple[ShownPanel, ...]
    of: str | None = None
    """Whose values these are, where they are not those of the chosen model and version alone."""

    @property
    def id(self) -> str:
        return self.title.lower().replace(" ", "-")

    @property
    def says(self) -> str | None:
        """What stands once in place of several panels, where each would say it."""
        said = {panel.says for panel in self.panels}
        return said.pop() if len(self.panels) > 1 and len(said) == 1 else None

    @property
    def alone(self) -> ShownPanel | None:
        """The last panel, where nothing would stand beside it."""
        before = sum(COLUMNS_OF_WIDE if panel.wide else 1 for panel in self.panels[:-1])
        return self.panels[-1] if self.panels[-1].wide and before % COLUMNS == 0 else None

    @property
    def titles(self) -> tuple[str, ...]:
        return tuple(panel.reading.panel.title for panel in self.panels)


def live_shown(
    live: Live, target: Target, minutes: int, feature: str | None, *, several: bool
) -> dict[str, Any]:
    """Return what the template of the page needs; `several` says that there are others to choose."""
    now = time.time()

    def query_of_feature(name: str) -> str:
        return "?" + urlencode(target.choice | {"minutes": minutes, "feature": name})

    return {
        "live": live,
        "sections": shown_sections(live, target.version, several=several),
        "ranges": {
            length: name for length, name in RANGES.items() if not live.minutes or length <= live.minutes
        },
        "minutes": min(minutes, live.minutes or minutes),
        "feature": feature,
        "features": frozenset(target.declaration.feature_names),
        "query": urlencode(target.choice | {"minutes": minutes, "feature": feature or ""}),
        "query_of_feature": query_of_feature,
        "read": int(now),
        "read_written": clock(now, seconds=True),
        "every": EVERY_SECONDS,
    }


def shown_sections(live: Live, version: str | None = None, *, several: bool = False) -> list[ShownSection]:
    return [
        ShownSection(
            section.title,
            tuple(shown_panel(reading) for reading in section.readings),
            whose(section, version) if several else None,
        )
        for section in live.sections
    ]


def whose(section: Section, version: str | None) -> str | None:
    """Return whose values a section has, where they are not of the chosen model and version alone."""
    if section.title in OF_ALL:
        return ALL_MODELS
    queries = [query for reading in section.readings for query in reading.panel.asked]
    by_version = any(quoted(version or "") in str(query.expression) for query in queries)
    return ALL_VERSIONS if version and not by_version else None


def shown_panel(reading: Reading) -> ShownPanel:
    says = reading.says or missing(reading)
    return ShownPanel(reading, says=says) if says else DRAWN[reading.panel.kind](reading)


def missing(reading: Reading) -> str | None:
    """Return what to say where there is nothing to draw."""
    if reading.panel.kind is Kind.ALERTS:
        return None if reading.alerts else NO_ALERTS
    return None if reading.bars or any(line.points for line in reading.lines) else NO_DATA


def shown_alert_list(reading: Reading) -> ShownPanel:
    return ShownPanel(reading, alerts=tuple(shown_alerts(reading.alerts)))


def shown_bars(reading: Reading) -> ShownPanel:
    return ShownPanel(reading, bars=tuple(bar_groups(reading)), bar_names=tuple(bar_names(reading)))


def shown_figures(reading: Reading) -> ShownPanel:
    arcs = tuple(ring(reading.panel)) if reading.panel.kind is Kind.SHARE else ()
    return ShownPanel(reading, figures=tuple(figures(reading)), ring=arcs)


def shown_lines(reading: Reading) -> ShownPanel:
    chart = line_chart(reading)
    spoken = [f"{curve.name} {curve.last_written}" for curve in chart.curves[:MOST_SPOKEN]]
    more = len(chart.curves) - len(spoken)
    summary = f"{reading.panel.title}, last values: {', '.join(spoken)}{f' and {more} more' if more else ''}"
    return ShownPanel(
        reading, summary=summary, lines=chart, table=value_table(reading.lines, reading.panel.unit)
    )


def shown_heatmap(reading: Reading) -> ShownPanel:
    lines = [line for line in reading.lines if line.points]
    totals = [sum(value for _, value in line.points) for line in lines]
    names = bucket_names([line.name for line in lines])
    most = f"most are {names[totals.index(max(totals))]}" if max(totals) else "none"
    return ShownPanel(
        reading,
        summary=f"{reading.panel.title}: {most}",
        heatmap=heatmap(reading),
        table=value_table(lines, "short", names),
    )


DRAWN: dict[Kind, Callable[[Reading], ShownPanel]] = {
    Kind.LINES: shown_lines,
    Kind.HEATMAP: shown_heatmap,
    Kind.BARS: shown_bars,
    Kind.ALERTS: shown_alert_list,
    Kind.NUMBER: shown_figures,
    Kind.STATUS: shown_figures,
    Kind.SHARE: shown_figures,
}
