"""Additive models equal scikit-learn's to the last digits, for one row and for many."""

import json
import math
from typing import Any

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from bundle.additive import ADDITIVE_FILE, AdditiveEvaluator, AdditiveModel, NumberTerm, parse_additive
from bundle.declaration import Declaration
from bundle.encoding import Encoder, Matrix
from bundle.errors import BundleError
from tests.systems import System
from training.additive import derive
from training.export import generate_rows

ADDING_UP = [("heart-disease", "v1"), ("iris", "v1"), ("churn", "v1")]


def rows(system: System) -> Matrix:
    probes = Encoder(system.declaration).encode([probe.row for probe in system.manifest.probes])
    return np.vstack([probes, generate_rows(system.declaration, system.manifest.distribution)])


@pytest.mark.parametrize(("name", "version"), ADDING_UP)
def test_the_committed_terms_give_scikit_learns_probabilities(name: str, version: str) -> None:
    system = System(name)
    content = (system.folder / version / ADDITIVE_FILE).read_bytes()
    evaluator = AdditiveEvaluator(parse_additive(content, system.declaration.features, "here"))
    matrix = rows(system).astype(np.float64)
    expected = joblib.load(system.folder / version / "model.joblib").predict_proba(matrix)
    assert len(matrix) > 10_000
    np.testing.assert_allclose(evaluator.probabilities(matrix), expected, rtol=0, atol=1e-9)
    one_by_one = [evaluator.row(row) for row in matrix[:500].tolist()]
    np.testing.assert_allclose(one_by_one, expected[:500], rtol=0, atol=1e-9)


@pytest.mark.parametrize(("name", "version"), [("churn", "v2"), ("fraud", "v1")])
def test_trees_are_not_additive(name: str, version: str) -> None:
    system = System(name)
    pipeline = joblib.load(system.folder / version / "model.joblib")
    assert derive(pipeline, system.declaration, [rows(system)[:500]]) is None
    assert not (system.folder / version / ADDITIVE_FILE).exists()


@pytest.mark.parametrize("degree", [1, 2])
def test_interacting_features_are_detected(degree: int) -> None:
    system = System("iris")
    matrix = rows(system)[:300]
    labels = (matrix[:, 0] * matrix[:, 1] > 200).astype(np.int64) + (matrix[:, 2] > 15)
    pipeline = make_pipeline(StandardScaler(), PolynomialFeatures(degree), LogisticRegression(max_iter=1000))
    pipeline.fit(matrix, labels)
    found = derive(pipeline, system.declaration, [matrix])
    assert (found is None) is (degree == 2)


def test_a_number_that_float32_never_sees_change_makes_no_additive_model() -> None:
    system = System("iris")
    content = system.declaration.model_dump()
    for feature in content["features"]:
        feature.pop("range", None)
    declaration = Declaration.model_validate(content)
    matrix = np.random.default_rng(0).uniform(1, 2, (90, 4)).astype(np.float32)
    matrix[:, 1] = 1_000_000_001
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(matrix, np.arange(90) % 3)
    assert derive(pipeline, declaration, [matrix]) is None
    matrix[0, 1] = 1_000_000_100
    assert derive(pipeline, declaration, [matrix]) is not None


def test_large_log_odds_give_certainty_not_an_error() -> None:
    model = AdditiveModel(intercept=[0.0], terms=[NumberTerm(offset=[0.0], slope=[1e4], missing=[5.0])])
    evaluator = AdditiveEvaluator(model)
    values = np.array([[-1.0], [0.0], [1.0], [np.nan]])
    filled = 1 / (1 + math.exp(-5))
    expected = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0], [1 - filled, filled]])
    np.testing.assert_allclose(evaluator.probabilities(values), expected, atol=1e-12)
    one_by_one = np.array([evaluator.row(row) for row in values.tolist()])
    np.testing.assert_allclose(one_by_one, expected, atol=1e-12)


TERM: dict[str, Any] = {"kind": "number", "offset": [0.0], "slope": [1.0], "missing": None}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"{", "here is not an additive model"),
        ({"intercept": [], "terms": []}, "here is not an additive model"),
        ({"intercept": [0.0], "terms": [TERM | {"slope": [1.0, 2.0]}]}, "as many values as the intercept"),
        ({"intercept": [0.0], "terms": [TERM, TERM]}, "here has other features or codes than model.toml"),
    ],
)
def test_an_invalid_additive_model_is_rejected(content: Any, sentence: str) -> None:
    written = content if isinstance(content, bytes) else json.dumps(content).encode()
    with pytest.raises(BundleError, match=sentence):
        parse_additive(written, [System("iris").number], "here")
