"""Predictions with their reported outcomes, as serving/feedback/store.py keeps them."""

from dataclasses import dataclass
from enum import Enum

SECONDS_A_DAY = 86_400
EARLIER_WINDOWS = 2
"""How many windows before the present one it is compared with."""

SCORE_BINS = 5
"""Calibration is shown in this many bins of equal width, from score 0 to 1."""


class StoreError(Exception):
    """The database is unreachable or fails; the message is a cause for the log, without values."""


class Verdict(Enum):
    """How a reported outcome was taken."""

    NEW = "new"
    KNOWN = "known"
    CORRECTED = "corrected"
    CONTRADICTED = "contradicted"


@dataclass(frozen=True)
class Outcome:
    """A prediction and its outcome (true label), by the names of classes; times are Unix seconds.

    `score` is that of bundle/score.py; `squared_error` is the prediction's part of the Brier score. `origin`
    is the bundle and threshold that decided it (serving/feedback/prediction_counts.py), None where an earlier
    release made the id.
    """

    number: str
    model: str
    version: str
    predicted_at: int
    received_at: int
    predicted: str
    outcome: str
    score: float
    squared_error: float
    origin: str | None = None


@dataclass(frozen=True)
class Cell:
    """Outcomes of one version and origin with the same classes and score bin: how many, and sums."""

    version: str
    predicted: str
    outcome: str
    score_bin: int
    rows: int
    score: float
    squared_error: float
    squared_error_squared: float
    origin: str | None = None
