"""The rules on quality are right for years: a seeded part of `python -m bench honesty`.

Its numpy agrees with the server's own intervals; tests/programs/test_quality_streams.py has Prometheus.
"""

from itertools import product

import numpy as np
import pytest

from bench.quality_honesty import Decline, decade, episodes, found_after
from bench.quality_rules import (
    SHIPPED,
    Rule,
    Z,
    before,
    below_card,
    bounds,
    brier,
    declined,
    far_below,
    selective,
)
from bench.quality_streams import STREAMS, Cells, Stream, cells, heart
from serving.feedback.coverage import is_selective, of_class
from serving.feedback.intervals import NORMAL_QUANTILES, SHOWN, likelihood_ratio, mean_interval, wilson

SEEDS = range(4)


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_forty_honest_years_have_no_alarm_where_the_rule_before_had_many(stream: Stream) -> None:
    histories = [decade(stream, 50, seed) for seed in SEEDS]

    def alarms(rule: Rule) -> int:
        return sum(episodes(rule(history)) for history in histories)

    assert alarms(below_card) == alarms(declined) == 0
    if stream.card_rows:
        assert alarms(before) > 1


@pytest.mark.parametrize("stream", STREAMS, ids=lambda stream: stream.name)
def test_outcomes_are_called_selective_where_they_are(stream: Stream) -> None:
    flags = SHIPPED["ModelOutcomesSelective"](decade(stream, 50, SEEDS[0]))
    late = stream.delay[0] > stream.maturity
    if late or stream.reported[0] != stream.reported[1]:
        assert flags.mean() > 0.95
    else:
        assert not flags.any()


def test_a_loss_of_a_tenth_of_the_sensitivity_is_found_in_the_stated_number_of_outcomes() -> None:
    found = found_after(SHIPPED | {"before": before}, Decline(0.1, 7043, 500), 3)
    assert found["ModelQualityDeclined"].max() < 10_000
    assert found["ModelQualityBelowCard"].max() < 12_000
    assert np.isinf(found["ModelOutcomesSelective"]).all()


def test_the_rule_sees_what_the_servers_intervals_say() -> None:
    random = np.random.default_rng(0)
    drawn = random.multinomial(random.integers(1, 3000, 400), heart().share)
    found = cells(heart(), drawn)
    z = NORMAL_QUANTILES["0.99999"]
    for part, whole, bound in zip(
        found.rows[:, 1, 1], found.rows[:, :, 1].sum(axis=1), random.uniform(0.6, 1, 400), strict=True
    ):
        if whole:
            assert far_below(part, whole, bound, z) == (likelihood_ratio(part, whole, z)[1] < bound)
    low, high = brier(found, Z["99.999"])
    sums = zip(found.error, found.error_squared, found.total, low, high, strict=True)
    for total, squares, rows, lower, upper in sums:
        assert mean_interval(total, squares, int(rows), z) == pytest.approx((lower, upper), abs=1e-6)
    shown = bounds(found, NORMAL_QUANTILES[SHOWN])["accuracy"]
    right = found.rows[:, 0, 0] + found.rows[:, 1, 1]
    for part, whole, lower, upper in zip(right, found.total, *shown, strict=True):
        assert wilson(part, whole, NORMAL_QUANTILES[SHOWN]) == pytest.approx((lower, upper), abs=1e-6)


def test_the_rule_calls_selective_what_the_server_does() -> None:
    for positives, negatives in product(range(0, 61, 6), repeat=2):
        rows = np.array([[negatives, 0.0], [positives, 0.0]])
        found = selective(Cells(rows, np.zeros(1), np.zeros(1)), np.array([100.0, 60.0]))
        assert bool(found) is is_selective(
            {"well": of_class(100, negatives), "sick": of_class(60, positives)}
        )
