"""A panel: what it is called, what it asks, and how its values are read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from monitoring.panels.expressions import Expression


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
