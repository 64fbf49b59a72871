"""The heart model says what medicine says: `disease` means narrowing over 50 %."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from bundle.declaration import load_declaration
from serving.inference.catalogue import ServedModel
from tests.harness import HEART, SAMPLE, csv_rows
from training.data import load_recipe, load_rows

BASELINES = [row for number, row in enumerate(csv_rows()) if number % 30 == 0]


def risk(heart: ServedModel, row: Any, **changes: Any) -> float:
    return heart.predict(heart.encode([{**row, **changes}]))[0].probabilities[1]


@pytest.mark.parametrize("row", BASELINES)
@pytest.mark.parametrize(
    ("field", "rising"),
    [(feature.name, values) for feature in load_declaration(HEART).features for values in feature.rising],
)
def test_risk_rises(heart: ServedModel, row: Any, field: str, rising: list[Any]) -> None:
    risks = [risk(heart, row, **{field: value}) for value in rising]
    assert all(low < high for low, high in pairwise(risks)), risks


def test_what_medicine_knows_is_declared() -> None:
    features = load_declaration(HEART).features
    declared = {feature.name: [list(values) for values in feature.rising] for feature in features}
    rising = {name: lists for name, lists in declared.items() if lists}
    assert set(rising) == {"ca", "oldpeak", "exang", "thal", "cp", "thalach"}
    assert rising["ca"] == [[0, 1, 2, 3]]
    assert rising["thalach"] == [[202, 170, 150, 120, 90, 71]]
    assert rising["exang"] == [["no", "yes"]]
    assert {values[-1] for values in rising["cp"]} == {"asymptomatic"}
    assert {values[-1] for values in rising["thal"]} == {"reversible defect"}


def test_the_sample_is_a_man_without_narrowing(heart: ServedModel) -> None:
    answer = heart.predict(heart.encode([SAMPLE]))[0]
    assert heart.declaration.labels[answer.class_index] == "no_disease"
    assert heart.declaration.example == SAMPLE


def test_disease_is_predicted_for_those_who_have_it(heart: ServedModel) -> None:
    rows, labels, _ = load_rows(HEART, heart.declaration, load_recipe(HEART), None)
    assert (len(rows), int(labels.sum())) == (303, 139)
    answers = heart.predict(heart.encode(rows))
    positive = np.array([answer.probabilities[1] for answer in answers])
    assert positive[labels == 1].mean() > 0.7
    assert positive[labels == 0].mean() < 0.3


def test_the_bundles_metrics_are_as_expected(heart: ServedModel) -> None:
    metrics = heart.manifest.evaluation.metrics
    assert metrics["auc"].value >= 0.90
    assert metrics["accuracy"].value == pytest.approx(0.849, abs=0.01)
    assert metrics["brier"].value == pytest.approx(0.118, abs=0.005)
    assert {"calibration_slope", "calibration_intercept", "false_negative_rate"} <= set(metrics)
    for estimate in metrics.values():
        assert estimate.lower < estimate.value < estimate.upper


def test_errors_are_reported_by_sex_and_age_band(heart: ServedModel) -> None:
    groups = {(group.feature, group.group): group for group in heart.manifest.evaluation.groups}
    assert groups["sex", "female"].positives == 25
    assert groups["sex", "male"].positives == 114
    ages = [group for group in groups.values() if group.feature == "age"]
    assert [sum(group.rows for group in ages), len(ages)] == [303, 3]
    card = (HEART / "CARD.md").read_text(encoding="utf-8")
    assert "sex: female" in card
    assert "not a medical device" in card


def test_probes_show_every_category_and_missing_value(heart: ServedModel) -> None:
    rows = [probe.row for probe in heart.manifest.probes]
    assert {row["thal"] for row in rows} == {"fixed defect", "normal", "reversible defect", None}
    assert {row["cp"] for row in rows} == {
        "asymptomatic",
        "atypical angina",
        "non-anginal pain",
        "typical angina",
    }
    assert None in {row["ca"] for row in rows}


def test_distribution_has_at_most_five_bins_none_empty_and_shares_of_one(heart: ServedModel) -> None:
    for name, distribution in heart.manifest.distribution.items():
        shares = distribution.shares
        values = list(shares.values()) if isinstance(shares, dict) else shares
        assert sum(values) + distribution.missing == pytest.approx(1), name
        assert len(values) <= 5
        assert min(values) > 0
