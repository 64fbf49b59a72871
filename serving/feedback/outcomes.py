"""What is kept of predictions and of what came true; serving/feedback/store.py keeps it."""

from dataclasses import dataclass
from enum import Enum

FIFTHS = 5
"""Calibration is counted by fifths of the score."""


class StoreError(Exception):
    """The database cannot be asked, or does not do what it is asked: a cause for the log, without values."""


class Verdict(Enum):
    """What became of an outcome that was told."""

    NEW = "new"
    KNOWN = "known"
    CORRECTED = "corrected"
    CONTRADICTED = "contradicted"


@dataclass(frozen=True)
class Outcome:
    """A prediction and what came true, by the names of classes; times are Unix seconds.

    `score` is the probability of the positive class, or with more than two of the predicted one;
    `squared_error` is the prediction's part of the Brier score.
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


@dataclass(frozen=True)
class Cell:
    """Outcomes of one version that are alike: how many, and sums over them."""

    version: str
    predicted: str
    outcome: str
    fifth: int
    rows: int
    score: float
    squared_error: float
    squared_error_squared: float
