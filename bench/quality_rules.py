"""The rules on quality in numpy, independent of serving/feedback: what ships, what shipped, and others."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, xlogy

from bench.quality_streams import Cells, Floats, History

Flags = NDArray[np.bool_]
Bounds = dict[str, tuple[Floats, Floats]]

LEAST_ROWS = 50
METRICS = ("accuracy", "sensitivity", "specificity")
Z = {"95": 1.959964, "99": 2.575829, "99.9": 3.290527, "99.99": 3.890592, "99.999": 4.417173}


def parts(cells: Cells) -> dict[str, tuple[Floats, Floats]]:
    """Return of each proportion how many rows are right, and of how many."""
    rows = cells.rows
    return {
        "accuracy": (rows[..., 0, 0] + rows[..., 1, 1], cells.total),
        "sensitivity": (rows[..., 1, 1], rows[..., :, 1].sum(axis=-1)),
        "specificity": (rows[..., 0, 0], rows[..., :, 0].sum(axis=-1)),
    }


def wilson(part: Floats, whole: Floats, z: float) -> tuple[Floats, Floats]:
    """Return Wilson's interval; without rows it is all there is."""
    with np.errstate(divide="ignore", invalid="ignore"):
        centre = (part + z * z / 2) / (whole + z * z)
        half_width = z / (whole + z * z) * np.sqrt(part * (whole - part) / whole + z * z / 4)
    return np.where(whole > 0, centre - half_width, 0), np.where(whole > 0, centre + half_width, 1)


def brier(cells: Cells, z: float, more: int = 1) -> tuple[Floats, Floats]:
    """Return the interval of the mean squared error, with so many more errors of 0 and of 1."""
    rows, total = cells.total + 2 * more, cells.error + more
    with np.errstate(divide="ignore", invalid="ignore"):
        value = cells.error / cells.total
        variance = np.maximum((cells.error_squared + more) / rows - (total / rows) ** 2, 0)
        half_width = z * np.sqrt(variance * rows / np.maximum(rows - 1, 1) / rows)
    return value - half_width, value + half_width


def bounds(cells: Cells, z: float, *, exact: bool = False, more: int = 1) -> Bounds:
    """Return the interval of each metric: its value twice, where it is exact."""
    if exact:
        found = {name: part / whole for name, (part, whole) in parts(cells).items()}
        found["brier"] = cells.error / cells.total
        return {name: (value, value) for name, value in found.items()}
    intervals = {name: wilson(part, whole, z) for name, (part, whole) in parts(cells).items()}
    return intervals | {"brier": brier(cells, z, more)}


def card(history: History, level: str) -> Bounds:
    return bounds(history.card, Z[level], exact=history.exact, more=0)


def worse(cells: Cells, reference: Bounds, level: str) -> Flags:
    """Return where a metric is worse: its likelihood-ratio interval lies beyond the reference."""
    found = brier(cells, Z[level])[0] > reference["brier"][1]
    for name, (part, whole) in parts(cells).items():
        found |= far_below(part, whole, reference[name][0], Z[level])
    return np.asarray(found & (cells.total >= LEAST_ROWS))


def far_below(part: Floats, whole: Floats, bound: Floats, z: float) -> Flags:
    with np.errstate(divide="ignore", invalid="ignore"):
        share = part / whole
        deviance = whole * (
            xlogy(share, share)
            - xlogy(share, bound)
            + xlogy(1 - share, 1 - share)
            - xlogy(1 - share, 1 - bound)
        )
    return np.asarray((share < bound) & (deviance > z * z / 2))


def selective(cells: Cells, predictions: Floats, level: str = "99.9") -> Flags:
    """Return where the shares of predictions with an outcome differ by class; both [..., predicted]."""
    low, high = wilson(np.minimum(cells.rows.sum(axis=-1), predictions), predictions, Z[level])
    return np.asarray(low.max(axis=-1) > high.min(axis=-1))


def below_card(history: History, live: str = "99.999", level: str = "99.9") -> Flags:
    fair = ~selective(history.present, history.predictions)
    return np.asarray(worse(history.present, card(history, level), live) & fair)


def declined(history: History, live: str = "99.999", level: str = "99") -> Flags:
    found = worse(history.present, bounds(history.earlier, Z[level]), live)
    enough = history.earlier.total >= LEAST_ROWS
    earlier_selective = selective(history.earlier, history.earlier_predictions)
    fair = ~earlier_selective & ~selective(history.present, history.predictions)
    return np.asarray(found & enough & fair)


def outcomes_selective(history: History) -> Flags:
    enough = history.predictions.sum(axis=-1) >= LEAST_ROWS
    return np.asarray(selective(history.present, history.predictions) & enough)


def before(history: History) -> Flags:
    """Return what the rule of decision 27 said: the card is a number, and outcomes count when they come."""
    live, expected = bounds(history.received, Z["99.99"], more=0), bounds(history.card, 0, exact=True)
    found = live["brier"][0] > expected["brier"][1]
    for name in METRICS:
        found |= live[name][1] < expected[name][0]
    return np.asarray(found & (history.received.total >= LEAST_ROWS))


def unguarded(history: History) -> Flags:
    """Return what the shipped rule would say of selective outcomes, too."""
    return worse(history.present, card(history, "99.9"), "99.999")


def wilsons(history: History) -> Flags:
    """Return what the shipped rule would say with Wilson's interval."""
    live, reference = bounds(history.present, Z["99.999"]), card(history, "99.9")
    found = live["brier"][0] > reference["brier"][1]
    for name in METRICS:
        found |= live[name][1] < reference[name][0]
    fair = ~selective(history.present, history.predictions)
    return np.asarray(found & (history.present.total >= LEAST_ROWS) & fair)


def root_of_squares(history: History, level: str = "99.99") -> Flags:
    """Return where the difference is beyond one quantile of its standard error."""
    live, reference = bounds(history.present, 1), card(history, "95")
    found = np.zeros(len(history.predictions), dtype=bool)
    for name, (low, high) in live.items():
        errors = (high - low) / 2, (reference[name][1] - reference[name][0]) / 2 / Z["95"]
        difference = (sum(reference[name]) - low - high) / 2 * (-1 if name == "brier" else 1)
        found |= difference > Z[level] * np.hypot(*errors)
    fair = ~selective(history.present, history.predictions)
    return np.asarray(found & (history.present.total >= LEAST_ROWS) & fair)


def confidence_sequence(history: History, error: float = 0.01) -> Flags:
    """Return where a beta-binomial mixture of all outcomes since the start leaves the card's interval."""
    reference = card(history, "99.9")
    found = np.zeros(len(history.predictions), dtype=bool)
    for name, (part, whole) in parts(history.since_start).items():
        bound = np.clip(reference[name][0], 1e-9, 1 - 1e-9)
        prior = 20 * bound, 20 * (1 - bound)
        evidence = betaln(part + prior[0], whole - part + prior[1]) - betaln(*prior)
        evidence -= xlogy(part, bound) + xlogy(whole - part, 1 - bound)
        found |= (evidence > -np.log(error)) & (part < bound * whole)
    return np.asarray(found & ~selective(history.present, history.predictions))


Rule = Callable[[History], Flags]
SHIPPED: dict[str, Rule] = {
    "ModelQualityBelowCard": below_card,
    "ModelQualityDeclined": declined,
    "ModelOutcomesSelective": outcomes_selective,
}
OTHERS: dict[str, Rule] = {
    "before: the card a number, Wilson 99.99 %": before,
    "sum of half-widths, 99.99 % and 95 %": lambda history: below_card(history, "99.99", "95"),
    "sum of half-widths, 99.999 % and 99 %": lambda history: below_card(history, "99.999", "99"),
    "**sum of half-widths, 99.999 % and 99.9 %**": below_card,
    "the same, Wilson's interval": wilsons,
    "root of the squares, 99.99 %": root_of_squares,
    "confidence sequence since the start, 1 %": confidence_sequence,
    "**window before, 99.999 % and 99 %**": declined,
    "window before, 99.99 % and 95 %": lambda history: declined(history, "99.99", "95"),
}
