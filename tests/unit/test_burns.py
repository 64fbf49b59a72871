"""Alerts on budgets over simulated years: rare at exactly the objective, and soon after it is missed.

The condition is computed from monitoring/panels/objectives.py as PromQL does from the rules.
"""

import numpy as np
import pytest
from numpy.typing import NDArray

from monitoring.panels.objectives import ERRORS, FAST, SIGMAS, SLOW, Burn

YEAR = 365 * 24 * 60
MINUTES = {"5m": 5, "30m": 30, "1h": 60, "2h": 120, "6h": 360, "1d": 1440, "3d": 4320}
KEEPS: dict[tuple[Burn, ...], int] = {FAST: 15, SLOW: 360}
"""Minutes that an alert keeps firing."""

Counts = NDArray[np.int64]


def over(window: str, events: Counts) -> Counts:
    """Return how many events there were in the window that ends with each minute."""
    total = np.concatenate([[0], np.cumsum(events)])
    ends = np.arange(1, len(events) + 1)
    within: Counts = total[ends] - total[np.maximum(ends - MINUTES[window], 0)]
    return within


def burning(burn: Burn, requests: Counts, failures: Counts) -> NDArray[np.bool_]:
    fast_enough: NDArray[np.bool_] = np.ones(len(requests), dtype=bool)
    for window in (burn.long, burn.short):
        bad, every = over(window, failures), over(window, requests)
        fast_enough &= bad > burn.pace * ERRORS.allowed * every
    bad, allowed = over(burn.long, failures), ERRORS.allowed * over(burn.long, requests)
    fast_enough &= (bad >= burn.least) & (bad - allowed > SIGMAS * np.sqrt(allowed))
    return fast_enough


def times_fired(burns: tuple[Burn, ...], requests: Counts, failures: Counts) -> list[int]:
    """Return the minutes at which an alert begins to fire."""
    true = np.any([burning(burn, requests, failures) for burn in burns], axis=0)
    begun, quiet_since = [], -YEAR
    for minute in np.flatnonzero(true).tolist():
        if minute - quiet_since > KEEPS[burns]:
            begun.append(minute)
        quiet_since = minute
    return begun


def traffic(an_hour: float, minutes: int, failing: float, seed: int) -> tuple[Counts, Counts]:
    random = np.random.default_rng(seed)
    requests = random.poisson(an_hour / 60, minutes)
    return requests, random.binomial(requests, failing)


@pytest.mark.parametrize("an_hour", [1, 20, 1000])
def test_at_exactly_the_objective_an_alert_fires_three_times_a_year_at_most(an_hour: int) -> None:
    for burns in (FAST, SLOW):
        years = [len(times_fired(burns, *traffic(an_hour, YEAR, ERRORS.allowed, seed))) for seed in range(5)]
        assert sum(years) <= 3 * len(years), (burns, years)


@pytest.mark.parametrize(
    ("an_hour", "failing", "minutes"), [(10, 1, 60), (60, 1, 10), (1000, 0.1, 60), (100_000, 0.5, 15)]
)
def test_a_route_that_fails_is_told_soon(an_hour: int, failing: float, minutes: int) -> None:
    """Whatever the traffic, after a good day."""
    good, bad = traffic(an_hour, 1440, 0, 1), traffic(an_hour, 240, failing, 2)
    requests, failures = (np.concatenate(pair) for pair in zip(good, bad, strict=True))
    assert times_fired(FAST, requests, failures)[0] - 1440 <= minutes
