"""What a panel asks, in a form that PromQL and this process' own counts can both answer."""

from typing import Protocol


class Expression(Protocol):
    """A value or values over time, by labels."""

    @property
    def promql(self) -> str:
        """Return the query for Prometheus."""
        ...
