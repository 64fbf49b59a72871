"""A model is data plus a recipe: one with three classes is trained, and served alone and beside another."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.harness import HEART, SAMPLE, Server, problem
from training.build import build

pytestmark = pytest.mark.heart

DECLARATION = """
name = "gems"
title = "Gems"
service = "gems-api"
description = "Names a gem."
intended_use = "A test."
limits = "Made up for a test."
elsewhere = "Nothing is known."
licence = "None is needed"
data_file = "data.csv"
data_source = "generated"
default_version = "v2"
target = "gem"
classes = [
    { label = "ruby", prediction = "ruby" },
    { label = "topaz", prediction = "topaz" },
    { label = "jade", prediction = "jade" },
]
[versions.v2]
estimator = "trees"
[example]
weight = 2.5
colour = "red"
[[features]]
name = "weight"
column = "weight"
description = "Weight"
type = "number"
unit = "g"
range = [0, 100]
nullable = true
[[features]]
name = "colour"
column = "colour"
description = "Colour"
type = "category"
codes = { red = 0, yellow = 1, green = 2 }
[metrics.requests]
name = "gem_requests_total"
labels = { method = "method", endpoint = "endpoint", status = "status" }
[metrics.predictions]
name = "gem_predictions_total"
labels = { gem = "result", version = "version", model = "model" }
[metrics.confidence]
name = "gem_confidence"
"""

RECIPE = """
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from training.table import read_table

def load_data(path, declaration):
    return read_table(path, declaration)

def build_pipeline(estimator, declaration):
    forest = RandomForestClassifier(n_estimators=10, max_depth=4, random_state=0)
    return make_pipeline(SimpleImputer(), forest)
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the heart model and a freshly trained one of three classes."""
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(HEART, folder / "heart-disease")
    gems = folder / "gems"
    gems.mkdir()
    (gems / "model.toml").write_text(DECLARATION, encoding="utf-8")
    (gems / "recipe.py").write_text(RECIPE, encoding="utf-8")
    random = np.random.default_rng(0)
    kinds = random.integers(0, 3, 120)
    lines = ["weight,colour,gem"]
    for number, kind in enumerate(kinds):
        weight = "" if number % 20 == 7 else f"{random.uniform(10 * kind, 10 * kind + 9):.2f}"
        lines.append(f"{weight},{['red', 'yellow', 'green'][kind]},{['ruby', 'topaz', 'jade'][kind]}")
    (gems / "data.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    said: list[str] = []
    (manifest,) = build(gems, None, None, say=said.append)
    assert set(manifest.evaluation.metrics) == {"accuracy", "brier"}
    assert manifest.evaluation.metrics["accuracy"].value > 0.9
    return folder


def test_three_classes_answer_with_probabilities_by_name(start: Callable[..., Server], models: Path) -> None:
    server = start(MODEL="gems", MODELS_DIR=str(models))
    answer = server.post("/predict", {"weight": 4.5, "colour": "red"}).json()
    assert list(answer) == [
        "prediction",
        "label",
        "probabilities",
        "confidence",
        "model",
        "request_id",
        "warnings",
    ]
    assert (answer["prediction"], answer["label"]) == ("ruby", "ruby")
    assert set(answer["probabilities"]) == {"ruby", "topaz", "jade"}
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert answer["confidence"] == max(answer["probabilities"].values())
    assert answer["model"] == {"name": "gems", "version": "v2"}
    batch = server.post("/predict/batch", {"instances": [{"weight": None, "colour": 2}]}).json()
    assert [p["label"] for p in batch["predictions"]] == ["jade"]
    assert "threshold" not in batch

    assert server.metric("gem_predictions_total", gem="jade", version="v2", model="gems") == 1
    assert server.metric("gem_requests_total", status="200", endpoint="/predict") == 1
    bounds = {dict(labels)["le"] for name, labels in server.metrics() if name == "gem_confidence_bucket"}
    assert {"0.3333", "1.0"} <= bounds
    assert not [name for name, _ in server.metrics() if name.startswith(("api_", "active_"))]


def test_several_models_in_one_process(start: Callable[..., Server], models: Path) -> None:
    server = start(MODEL="heart-disease,gems", MODELS_DIR=str(models))
    gem = {"weight": 25, "colour": "green"}
    assert server.post("/predict", SAMPLE).json()["label"] == "no_disease"
    assert server.post("/models/heart-disease/predict", SAMPLE).json()["label"] == "no_disease"
    assert server.post("/models/gems/predict", gem).json()["label"] == "jade"
    batch = server.post("/models/gems/predict/batch", {"instances": [gem, gem]}).json()
    assert len(batch["predictions"]) == 2
    problem(server.post("/models/gems/predict", SAMPLE), 422, "ValidationError")
    problem(server.post("/predict", gem), 422, "ValidationError")
    assert [model["name"] for model in server.get("/models").json()["models"]] == ["heart-disease", "gems"]

    assert server.metric("predictions_total", model_name="logistic_regression") == 2
    assert server.metric("gem_predictions_total", model="gems") == 3
    assert server.metric("api_requests_total", endpoint="/models/gems/predict", status_code="200") == 1
    assert "/models/gems/predict" in server.get("/openapi.json").json()["paths"]


def test_models_that_disagree_about_a_metric_are_not_served_together(models: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(models, tmp_path / "models"))
    declaration = folder / "gems" / "model.toml"
    text = declaration.read_text(encoding="utf-8").replace("gem_predictions_total", "predictions_total")
    declaration.write_text(text, encoding="utf-8")
    server = Server({"MODEL": "heart-disease,gems", "MODELS_DIR": str(folder)})
    assert server.wait() == 1
    assert "'predictions_total' has other labels in 'gems'" in server.lines[-1]


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("[metrics.confidence]", "[metrics.karma]", "metrics.karma is none of"),
        ("[metrics.confidence]", "[metrics.feature_values]", "metrics.feature_values is none of"),
        ('{ gem = "result"', '{ gem = "colour"', "metrics.predictions has only"),
    ],
)
def test_a_vocabulary_of_unknown_words_is_rejected(
    models: Path, tmp_path: Path, old: str, new: str, sentence: str
) -> None:
    folder = Path(shutil.copytree(models, tmp_path / "models"))
    declaration = folder / "gems" / "model.toml"
    declaration.write_text(declaration.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    server = Server({"MODEL": "gems", "MODELS_DIR": str(folder)})
    assert server.wait() == 1
    assert sentence in server.lines[-1]


def test_a_threshold_for_three_classes_is_rejected(models: Path) -> None:
    server = Server({"MODEL": "gems", "MODELS_DIR": str(models), "THRESHOLD": "0.4"})
    assert server.wait() == 1
    assert "THRESHOLD belongs to models with two classes" in server.lines[-1]
