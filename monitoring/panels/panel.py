"""A panel: what it is called, what it asks, and how its values are read."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from monitoring.panels.expressions import Aggregate, Expression, Percentile, Rate, Selector

GREEN, YELLOW, RED = "green", "yellow", "red"


class Kind(StrEnum):
    """How a panel shows its values."""

    LINES = "lines"
    NUMBER = "number"
    STATUS = "status"
    SHARE = "share"
    HEATMAP = "heatmap"
    BARS = "bars"
    ALERTS = "alerts"


@dataclass(frozen=True)
class Query:
    """An expression, and the legend of its series: names of labels stand in double braces."""

    expression: Expression
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """One panel; `unit` is one of Grafana's, such as "reqps"."""

    key: str
    """Its id in a page and in a cache, such as "requests-by-status"."""

    title: str
    description: str
    unit: str
    kind: Kind
    queries: tuple[Query, ...] = ()
    steps: tuple[tuple[float | None, str], ...] = ()
    """Colours from values up; the first value is None."""

    words: Mapping[str, str] = field(default_factory=dict)
    """What a STATUS calls its values, such as {"0": "unavailable", "1": "loaded"}."""

    runbook: str | None = None
    """The name of the page of the alert that watches the same."""

    warning: str | None = None
    """The name of the page of the alert that warns of the same sooner."""

    document: str | None = None
    """The project's page about it, such as "docs/rollout.md"; the API does not serve it."""

    explained_by: Expression | None = None
    """What chance explains of each line of the first query: up to this its colour is the lowest step's."""

    empty: str | None = None
    """What a dashboard says where there is nothing to show."""

    most: float | None = None
    """The highest value that there can be."""

    width: int | None = None
    """Of 24, on a dashboard; None leaves it to the kind."""

    @property
    def over_time(self) -> bool:
        """Whether it shows a time, and not a moment."""
        return self.kind in (Kind.LINES, Kind.HEATMAP)

    @property
    def runbooks(self) -> tuple[str, ...]:
        return tuple(name for name in (self.runbook, self.warning) if name)

    @property
    def asked(self) -> tuple[Query, ...]:
        """What a page asks for: the queries, and then what chance explains."""
        chance = (Query(self.explained_by, self.queries[0].legend),) if self.explained_by else ()
        return self.queries + chance


def panel(
    kind: Kind,
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    steps: tuple[tuple[float | None, str], ...] = (),
    words: Mapping[str, str] | None = None,
    runbook: str | None = None,
    warning: str | None = None,
    document: str | None = None,
    explained_by: Expression | None = None,
    empty: str | None = None,
    most: float | None = None,
    width: int | None = None,
) -> Panel:
    """Return a panel whose key is made of its title."""
    key = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")
    return Panel(
        key,
        title,
        description,
        unit,
        kind,
        queries,
        steps=steps,
        words=words or {},
        runbook=runbook,
        warning=warning,
        document=document,
        explained_by=explained_by,
        empty=empty,
        most=most,
        width=width,
    )


def percentiles(
    buckets: Selector, window: str, by: Iterable[str] = (), percents: tuple[int, ...] = (50, 95, 99)
) -> list[Query]:
    """Return percentiles of a histogram's buckets by labels, which its legend shows."""
    labels = tuple(by)
    rates = Aggregate("sum", Rate(buckets, window), ("le", *labels))
    legend = "".join(f"{{{{{label}}}}} " for label in labels)
    return [Query(Percentile(percent, rates), f"{legend}p{percent}") for percent in percents]
