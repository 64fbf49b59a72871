"""Alerts on drift keep quiet about rows like the training data, and tell shifts: simulated, seeded."""

import json
from typing import Any

import numpy as np
import pytest
import yaml

from bench.drift import RULES
from bench.drift_honesty import RESULTS, honest_years, page, population
from bench.drift_rules import YearlyRules, between_shares, range_chance, variance
from bench.drift_shifts import DAY, FORMER, hours_until, median_hours
from tests.harness import PROJECT
from training.distribution import LOOKS_A_YEAR

MEASURED: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))
SHIPPED = YearlyRules(population("heart-disease").quantiles)


def test_the_tables_are_written_from_the_simulation() -> None:
    assert (PROJECT / "docs" / "drift.md").read_text(encoding="utf-8") == page(MEASURED)


def test_sixty_days_like_the_training_data_raise_no_alert() -> None:
    """With the quantile of one window, as before, they raise dozens."""
    model = population("heart-disease")
    former, shipped = honest_years(model, 300, 2, 60 * DAY, (FORMER, SHIPPED))
    assert [sum(counts.values()) for counts in shipped] == [0, 0]
    assert all(counts["FeatureDrift"] > 5 and counts["FeatureRejected"] > 1000 for counts in former)


def test_a_simulated_year_has_at_most_one_alert_on_average() -> None:
    assert {(line["model"], line["rate"]) for line in MEASURED["years"]} >= {
        (model, rate) for model in ("heart-disease", "churn") for rate in (30, 300, 1_000, 10_000, 100_000)
    }
    for line in MEASURED["years"]:
        kinds = ("shipped", "shipped_others", "shipped_rejected")
        assert sum(line[kind]["mean"] for kind in kinds) <= 1, line
        assert line["more_than_one"] <= line["years"] / 20, line


def test_a_shift_of_half_a_standard_deviation_is_told_within_hours_and_none_is_not() -> None:
    assert median_hours(SHIPPED, 303, 1_000, 0.5) == pytest.approx(1, abs=0.5)
    assert median_hours(SHIPPED, 303, 1_000, 0.1) is None
    assert hours_until(SHIPPED, 303, 1_000, 0, np.random.default_rng(0)) == np.inf


def test_what_was_told_of_five_hundred_rows_still_is_but_for_what_the_page_says() -> None:
    later = {
        line["shift"]
        for line in MEASURED["power"]
        if line["former"][0] >= 19 and line["shipped"][0] < line["former"][0]
    }
    assert later == {"`cp` atypical angina, 16.5%, doubled", "`fbs` yes, 14.9%, doubled"}
    for line in MEASURED["power"]:
        assert line["shipped"][-1] >= line["former"][-1], line  # of a day's rows


def test_a_level_counts_each_window_of_a_year() -> None:
    groups = {group["name"]: group for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]}
    assert groups["drift-24h"]["interval"] == "2m"
    assert LOOKS_A_YEAR == 525_600 + 525_600 / 2


def test_shares_and_ranges_differ_by_chance_as_seldom_as_they_say() -> None:
    """At levels that a simulation can see: 1 in 100 of both sides, and of the ends of a range."""
    random = np.random.default_rng(0)
    for share in (0.02, 0.5):
        first, other = random.binomial(500, share, 100_000) / 500, random.binomial(300, share, 100_000) / 300
        unlike = between_shares(first + 0.001, other + 0.001, variance(np.array(500), 300)) > 6.635
        assert unlike.mean() < 0.015
    beyond = random.beta(1, 303, (100_000, 2)).sum(axis=1)
    outside = random.binomial(1_000, np.minimum(beyond, 1)) / 1_000
    assert (outside > range_chance(np.array(1_000), 303, 13.277)).mean() < 0.01
