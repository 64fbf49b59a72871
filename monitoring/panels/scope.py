"""For whom a panel asks: which releases, which model, and over which time."""

from collections.abc import Callable
from dataclasses import dataclass

from monitoring.panels.names import Names

Matcher = Callable[[str, str], str | None]
"""Returns what matches a label (second) that shows a dimension (first), as "version"; None matches all."""


@dataclass(frozen=True)
class Window:
    """A window as PromQL and as a sentence name it."""

    promql: str
    words: str


HOUR = Window("1h", "an hour")


@dataclass(frozen=True)
class Scope:
    """What stands in every expression of a dashboard or a page.

    Matchers of `releases` are on every series, those of `pods` on what each pod shows itself.
    """

    releases: tuple[str, ...]
    pods: tuple[str, ...]
    targets: tuple[str, ...]
    """What `up` is asked with, besides releases and pods."""

    choose: Matcher
    rate: str
    """Window of a rate."""

    range: str
    """Window of a figure for the whole time that is shown."""

    hour: Window = HOUR

    @property
    def selector(self) -> tuple[str, ...]:
        return self.releases + self.pods

    def chosen(self, names: Names, concept: str) -> tuple[str, ...]:
        """Return the matchers of the chosen model in the vocabulary's labels of a concept."""
        found = [
            self.choose(dimension, label)
            for dimension in ("model", "version")
            for label in names.labels(concept, dimension)
        ]
        return self.selector + tuple(matcher for matcher in found if matcher)

    def common(self, *dimensions: str) -> tuple[str, ...]:
        """Return the matchers of what every model shows under the same labels, by release."""
        found = [self.choose(dimension, COMMON_LABELS[dimension]) for dimension in dimensions]
        return self.releases + tuple(matcher for matcher in found if matcher)


COMMON_LABELS = {"model": "model", "version": "model_version", "feature": "feature"}
