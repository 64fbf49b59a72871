"""What a panel asks, in a form that PromQL and this process' own counts can both answer.

Each expression reads as its PromQL: `str(Aggregate("sum", Rate(...), by=("status",)))`.
"""

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class Expression:
    """A value, or values by labels, over time."""


@dataclass(frozen=True)
class Selector(Expression):
    """The series of a name whose labels match; a matcher reads as in PromQL, and may be several."""

    name: str
    matchers: tuple[str, ...] = ()

    @property
    def recorded(self) -> bool:
        """Whether Prometheus itself writes it: by a rule, or of its alerts."""
        return ":" in self.name or self.name.startswith("ALERTS")

    def __str__(self) -> str:
        return f"{self.name}{{{', '.join(self.matchers)}}}" if self.matchers else self.name


@dataclass(frozen=True)
class Rate(Expression):
    """Events a second over a window, such as "1m"."""

    of: Selector
    window: str

    def __str__(self) -> str:
        return f"rate({self.of}[{self.window}])"


@dataclass(frozen=True)
class Increase(Expression):
    """Events in a window, such as "1h"."""

    of: Selector
    window: str

    def __str__(self) -> str:
        return f"increase({self.of}[{self.window}])"


@dataclass(frozen=True)
class Aggregate(Expression):
    """The sum, the minimum or the maximum of series with the same labels, or of all."""

    operator: str
    of: Expression
    by: tuple[str, ...] = ()

    def __str__(self) -> str:
        labels = f" by ({', '.join(self.by)}) " if self.by else ""
        return f"{self.operator}{labels}({self.of})"


@dataclass(frozen=True)
class Percentile(Expression):
    """A percentile of a histogram's buckets, which have the label le; no data where nothing was observed."""

    percent: int
    of: Aggregate

    def __str__(self) -> str:
        return f"histogram_quantile({self.percent / 100}, {self.of}) >= 0"


@dataclass(frozen=True)
class Positive(Expression):
    """Only what is more than 0."""

    of: Expression

    def __str__(self) -> str:
        return f"{self.of} > 0"


@dataclass(frozen=True)
class OrZero(Expression):
    """0 where there is no series."""

    of: Expression

    def __str__(self) -> str:
        return f"{self.of} or vector(0)"


@dataclass(frozen=True)
class Ratio(Expression):
    """One divided by the other, which has the same labels but for those of `across`."""

    part: Expression
    whole: Expression
    across: tuple[str, ...] = ()

    def __str__(self) -> str:
        matching = f"ignoring ({', '.join(self.across)}) group_left () " if self.across else ""
        whole = f"({self.whole})" if isinstance(self.whole, Positive) else str(self.whole)
        return f"{self.part} / {matching}{whole}"


@dataclass(frozen=True)
class WhileUp(Expression):
    """No data while none of these targets answers: what is dead has no rate."""

    of: Expression
    targets: tuple[str, ...]

    def __str__(self) -> str:
        return f"({self.of}) and on () max({Selector('up', self.targets)}) == 1"


@dataclass(frozen=True)
class ByBin(Expression):
    """The values of each version and bin; the bin's name begins with the version's."""

    of: Expression

    def __str__(self) -> str:
        values = Aggregate("max", self.of, by=("model_version", "bin"))
        return f'label_join({values}, "bin", " ", "model_version", "bin")'


@dataclass(frozen=True)
class AtLeast(Expression):
    """The values, and what is less raised to this."""

    of: Expression
    least: float

    def __str__(self) -> str:
        return f"clamp_min({self.of}, {self.least:g})"


@dataclass(frozen=True)
class Divided(Expression):
    """The values in units of this."""

    of: Expression
    by: float

    def __str__(self) -> str:
        return f"{self.of} / {self.by}"


@dataclass(frozen=True)
class Enough(Expression):
    """The values that rest on at least so many rows, of the series with the same labels."""

    of: Expression
    rows: Aggregate
    least: int

    def __str__(self) -> str:
        return f"{self.of} and on ({', '.join(self.rows.by)}) {self.rows} >= {self.least}"


@dataclass(frozen=True)
class OrZeroWhile(Expression):
    """0 where there is no series, while there is one of this name."""

    of: Expression
    name: str

    def __str__(self) -> str:
        return f"{self.of} or on () 0 * count({self.name})"


def quoted(value: str) -> str:
    """Return a value of a label as PromQL reads it."""
    return json.dumps(value, ensure_ascii=False)
