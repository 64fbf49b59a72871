"""A feature's contribution is what scikit-learn's own model gives it."""

from itertools import permutations
from math import exp

import joblib
import numpy as np
import pytest
from numpy.typing import NDArray

from bundle.encoding import Encoder
from serving.inference.catalogue import ServedModel, load_model
from serving.inference.explanations import (
    LEAST_PROBABILITY,
    MOST_CELLS,
    ORDERS,
    Explanation,
    all_sets,
    explanation_json,
    random_orders,
)
from tests.systems import MODELS, System
from training.data import load_recipe, load_rows

ADDITIVE = [("heart-disease", "v1"), ("iris", "v1"), ("churn", "v1")]
OTHERS = [("churn", "v2"), ("fraud", "v1")]


def outputs(model: ServedModel, matrix: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return scikit-learn's log-odds [rows, 1], or its value of each class [rows, classes]."""
    pipeline = joblib.load(MODELS / model.name / model.version / "model.joblib")
    values = np.asarray(pipeline.decision_function(matrix.astype(np.float64)))
    return values.reshape(len(matrix), -1)


def between(values: NDArray[np.float64], index: int, against: int) -> NDArray[np.float64]:
    return values[:, 0] if values.shape[1] == 1 else values[:, index] - values[:, against]


@pytest.mark.parametrize(("name", "version"), ADDITIVE)
def test_contributions_of_a_linear_model_add_up_to_its_score(name: str, version: str) -> None:
    model = load_model(MODELS / name, version)
    matrix = Encoder(model.declaration).encode(System(name).rows)
    scores = outputs(model, matrix)
    for values, score in zip(matrix.tolist(), scores, strict=True):
        explanation = model.explain(values, model.predict_row(values))
        expected = between(score[None], explanation.class_index, explanation.against)[0]
        assert explanation.log_odds == pytest.approx(expected, abs=1e-6)
        assert explanation.method.startswith("exact")


@pytest.mark.parametrize("name", ["heart-disease", "iris"])
def test_a_contribution_is_the_log_odds_lost_with_other_patients_values(name: str) -> None:
    """By its definition: the feature's value is replaced by that of each training row in turn."""
    system = System(name)
    model = load_model(system.folder)
    rows, _, _ = load_rows(system.folder, system.declaration, load_recipe(system.folder), None)
    training = Encoder(system.declaration).encode(rows)
    for values in training[::60]:
        explanation = model.explain(values.tolist(), model.predict_row(values.tolist()))
        classes = explanation.class_index, explanation.against
        score = between(outputs(model, values[None]), *classes)[0]
        for column, contribution in enumerate(explanation.contributions):
            others = np.tile(values, (len(training), 1))
            others[:, column] = training[:, column]
            lost = score - between(outputs(model, others), *classes).mean()
            assert contribution == pytest.approx(lost, abs=1e-5)
        reference = between(outputs(model, training), *classes).mean()
        assert explanation.baseline == pytest.approx(reference, abs=1e-5)


def baseline_row(system: System) -> NDArray[np.float64]:
    """Return means, and most frequent categories, from the training data itself."""
    rows, _, _ = load_rows(system.folder, system.declaration, load_recipe(system.folder), None)
    columns = Encoder(system.declaration).encode(rows).T
    return np.array(
        [
            np.bincount(column.astype(int)).argmax()
            if feature.type == "category"
            else column.mean(dtype=float)
            for feature, column in zip(system.declaration.features, columns, strict=True)
        ]
    )


def test_few_features_get_exact_shapley_values() -> None:
    system = System("fraud")
    model = load_model(system.folder)
    average = baseline_row(system)
    pipeline = joblib.load(system.folder / "v1" / "model.joblib")
    number = len(average)
    for row in (system.sample, system.rows[3]):
        values = np.array(model.encode_row(row))
        sets = ((np.arange(2**number)[:, None] >> np.arange(number)) & 1) == 1
        mixtures = np.where(sets, values, average).astype(np.float32)
        probability = np.clip(pipeline.predict_proba(mixtures), LEAST_PROBABILITY, None)
        log_odds = np.log(probability[:, 1] / probability[:, 0])
        expected = np.zeros(number)
        orders = list(permutations(range(number)))
        for order in orders:
            members = 0
            for feature in order:
                expected[feature] += (log_odds[members | 1 << feature] - log_odds[members]) / len(orders)
                members |= 1 << feature
        explanation = model.explain(values.tolist(), model.predict_row(values.tolist()))
        assert explanation.contributions == pytest.approx(expected.tolist(), abs=1e-4)
        assert explanation.baseline == pytest.approx(log_odds[0], abs=1e-4)
        assert explanation.standard_errors is None


@pytest.mark.parametrize(("name", "version"), OTHERS)
def test_contributions_of_trees_add_up_and_are_reproducible(name: str, version: str) -> None:
    model = load_model(MODELS / name, version)
    for values in Encoder(model.declaration).encode(System(name).rows[:40]).tolist():
        answer = model.predict_row(values)
        explanation = model.explain(values, answer)
        probability = np.clip(model.engine.row(values), LEAST_PROBABILITY, None)
        assert explanation.log_odds == pytest.approx(np.log(probability[1] / probability[0]), abs=1e-5)
        assert model.explain(values, answer) == explanation


def test_sampled_contributions_are_within_their_stated_error() -> None:
    """Against 2,000 other orders, evaluated by the same engine."""
    model = load_model(MODELS / "churn", "v2")
    values = model.encode_row(model.declaration.example)
    explanation = model.explain(values, model.predict_row(values))
    explainer = model._explainer  # noqa: SLF001
    average = explainer._baseline  # type: ignore[attr-defined]  # noqa: SLF001
    random, number = np.random.default_rng(1), len(values)
    total = np.zeros(number)
    for _ in range(2000):
        order = random.permutation(number)
        members = np.tri(number + 1, number, -1, dtype=bool)[:, np.argsort(order)]
        probability = model.engine.probabilities(np.where(members, values, average).astype(np.float32))
        total[order] += np.diff(np.log(probability[:, 1] / probability[:, 0]))
    assert explanation.standard_errors is not None
    errors = np.array(explanation.standard_errors)
    off = np.array(explanation.contributions) - total / 2000
    assert max(errors) < 0.05
    assert np.abs(off[errors <= 1e-6]).max() < 1e-4
    as_stated = off[errors > 1e-6] / errors[errors > 1e-6]
    assert 0.2 < np.square(as_stated).mean() < 3  # 1 on average, if each feature had its own orders


def test_orders_and_sets_split_a_score_alike() -> None:
    """A score of three features with an interaction: x0 + 2 x1 x2, whose halves go to x1 and x2."""

    def score(taken: NDArray[np.bool_]) -> NDArray[np.float64]:
        return np.asarray(taken[:, 0] + 2.0 * taken[:, 1] * taken[:, 2])

    for taken, split in (all_sets(3), random_orders(3)):
        assert not taken[0].any()
        assert split(score(taken)).mean(axis=0).tolist() == pytest.approx([1, 1, 1])


def test_the_sentence_names_what_counts_with_values_and_units(heart: ServedModel) -> None:
    row = heart.declaration.example | {"ca": None, "oldpeak": 4.5}
    values = heart.encode_row(row)
    answer = heart.predict_row(values)
    explanation = explanation_json(heart.explain(values, answer), heart.declaration, values)
    assert explanation["sentence"].startswith(
        f"disease has a probability of {answer.probabilities[1]:.1%} here"
    )
    assert "ST depression brought on by exercise, against rest: 4.5 mm (odds x " in explanation["sentence"]
    shown = {contribution["feature"]: contribution for contribution in explanation["contributions"]}
    assert (shown["ca"]["value"], shown["ca"]["unit"]) == (None, "vessels")
    assert (shown["cp"]["value"], shown["cp"]["unit"]) == ("typical angina", None)
    assert (shown["trestbps"]["value"], shown["oldpeak"]["value"]) == (145, 4.5)
    assert 1 / (1 + exp(-explanation["log_odds"])) == pytest.approx(answer.probabilities[1], abs=1e-5)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_value_far_from_the_training_data_is_explained(heart: ServedModel, sign: int) -> None:
    values = heart.encode_row(heart.declaration.example)
    contributions = [sign * 5e9, *(0.0 for _ in heart.declaration.features[1:])]
    explanation = Explanation(1, 0, "additive", 0.5, contributions)
    sentence = explanation_json(explanation, heart.declaration, values)["sentence"]
    share, factor = ("100.0%", "more than 1e+06") if sign == 1 else ("0.0%", "less than 1e-06")
    assert sentence.startswith(
        f"disease has a probability of {share} here, and of 62.2% for the baseline. Most"
    )
    assert sentence.endswith(f"63 years (odds x {factor}).")


@pytest.mark.parametrize(("features", "orders"), [(11, ORDERS), (300, ORDERS), (1000, 8)])
def test_many_features_get_fewer_orders_as_memory_is_bounded(features: int, orders: int) -> None:
    taken, split = random_orders(features)
    assert taken.size <= MOST_CELLS
    weights = np.linspace(-1, 1, features)
    each = split(taken @ weights)
    assert len(each) == orders
    np.testing.assert_allclose(each.mean(axis=0), weights, atol=1e-9)
