"""What is promised of predictions, and over which windows it is looked at, for rules and for panels."""

from dataclasses import dataclass

APP = 'app="heart-disease-api"'
"""Label of every target of the API, whatever its release, namespace and model are called."""

PROBED = 'probed="heart-disease-api"'
"""Label of a release's Service that is probed from outside."""

PREDICTION_PATHS = '".*/predict(/batch)?"'
PREDICTIONS = f"endpoint=~{PREDICTION_PATHS}"
"""The routes that predict, where the label is called endpoint."""

SLOW_SECONDS = 0.25
"""Bound of a bucket: a prediction that takes longer is slow."""

DAYS = 30
"""What a budget is for."""


@dataclass(frozen=True)
class Objective:
    """`allowed` is the share of predictions that may be bad; `series` names what is recorded of these."""

    name: str
    series: str
    allowed: float
    sentence: str


ERRORS = Objective("Errors", "prediction_failures", 0.005, "of predictions fail")
LATENCY = Objective("Latency", "prediction_slow", 0.01, f"of predictions take more than {SLOW_SECONDS} s")


@dataclass(frozen=True)
class Burn:
    """A pace at which a budget is spent, over a long window and still over a short one.

    `least` is the fewest bad predictions in the long window that count: five within an hour, or seven within
    longer. increase() extrapolates, and may show half of one less. Paces and windows: Beyer et al., "The Site
    Reliability Workbook" (2018), chapter 5.
    """

    pace: float
    long: str
    short: str
    least: float


FAST = (Burn(14.4, "1h", "5m", 4.5), Burn(6, "6h", "30m", 6.5))
SLOW = (Burn(3, "1d", "2h", 6.5), Burn(1, "3d", "6h", 6.5))
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")

SIGMAS = 4
"""So many standard errors off what is allowed or expected must a figure be, or it may be chance."""

BURST = 4.5
"""Five events; increase() extrapolates, and may show half of one less."""
