"""A model that declares no range, no unit and no [metrics] is served and measured like the shipped ones."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bundle.additive import ADDITIVE_FILE
from bundle.declaration import load_declaration
from tests.harness import HEART, SAMPLE, Server, eventually, panel_queries, problem
from tests.systems import MODELS
from training.build import build

pytestmark = pytest.mark.heart

ROW = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
VIRGINICA = ROW | {"petal_length": 6.0, "petal_width": 2.5}
VERSION = {"model": "plants", "model_version": "v1"}


def declare(folder: Path, name: str) -> Path:
    """Write a model of the iris data whose declaration has only what it must."""
    shutil.copytree(MODELS / "iris", folder / name, ignore=shutil.ignore_patterns("v1", "CARD.md"))
    path = folder / name / "model.toml"
    text = path.read_text(encoding="utf-8").replace('name = "iris"', f'name = "{name}"', 1)
    kept = [
        line
        for line in text.partition("# ---- metric")[0].splitlines()
        if not line.startswith(("range", "unit"))
    ]
    path.write_text("\n".join(kept) + "\n", encoding="utf-8")
    return path.parent


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the heart model and two models of one's own."""
    folder = tmp_path_factory.mktemp("models")
    shutil.copytree(HEART, folder / "heart-disease")
    for name in ("plants", "flowers"):
        build(declare(folder, name), None, None, say=lambda _: None)
    assert (folder / "plants" / "v1" / ADDITIVE_FILE).exists()
    return folder


@pytest.fixture
def own(start: Callable[..., Server], models: Path) -> Server:
    return start(MODEL="plants", MODELS_DIR=str(models))


def test_it_predicts_as_the_shipped_model_of_the_same_data(own: Server, start: Callable[..., Server]) -> None:
    shipped = start(MODEL="iris")
    for row in (ROW, ROW | {"petal_length": 4.5, "petal_width": 1.5}, VIRGINICA):
        answer, expected = own.post("/predict", row).json(), shipped.post("/predict", row).json()
        assert answer["label"] == expected["label"]
        assert answer["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-6)
    batch = own.post("/predict/batch", {"instances": [ROW, VIRGINICA]}).json()
    assert [prediction["label"] for prediction in batch["predictions"]] == ["setosa", "virginica"]


def test_a_value_outside_of_the_trained_range_is_a_warning(own: Server) -> None:
    answer = own.post("/predict", ROW | {"petal_length": -40, "sepal_width": 1e15}).json()
    warnings = {warning["field"]: warning for warning in answer["warnings"]}
    assert set(warnings) == {"petal_length", "sepal_width"}
    assert warnings["petal_length"] == {
        "field": "petal_length",
        "trained_minimum": 1.0,
        "trained_maximum": 6.9,
        "unit": "",
        "detail": "the model was trained on 1 to 6.9",
    }


@pytest.mark.parametrize(
    ("value", "detail"),
    [
        ("1.4", "must be a number"),
        (None, "must be a number"),
        (1e16, "must be a number from -1e+15 to 1e+15"),
    ],
)
def test_what_is_no_number_that_the_matrix_holds_is_rejected(own: Server, value: object, detail: str) -> None:
    document = problem(own.post("/predict", ROW | {"petal_length": value}), 422, "ValidationError")
    assert document["errors"] == [{"field": "petal_length", "detail": detail}]


def test_the_documents_show_no_range_that_nobody_declared(own: Server) -> None:
    feature = own.get("/models/plants").json()["features"][2]
    assert feature["name"] == "petal_length"
    assert (feature["unit"], feature["minimum"], feature["maximum"]) == (None, None, None)
    assert (feature["trained_minimum"], feature["trained_maximum"]) == (1.0, 6.9)
    body = own.get("/openapi.json").json()["paths"]["/predict"]["post"]["requestBody"]
    schema = body["content"]["application/json"]["schema"]["properties"]["petal_length"]
    # what the float32 matrix holds: the schema accepts what the server does
    assert schema == {
        "description": "Length of a petal: a number",
        "type": "number",
        "minimum": -1e15,
        "maximum": 1e15,
    }
    explanation = own.post("/predict?explain=true", ROW).json()["explanation"]
    assert {contribution["unit"] for contribution in explanation["contributions"]} == {None}
    assert "Length of a petal: 1.4 (odds" in explanation["sentence"]
    assert "<td>a number</td>" in own.get("/models/plants/card").text


def test_it_is_measured_under_the_default_names(own: Server) -> None:
    for _ in range(2):
        own.post("/predict", ROW)
    own.post("/predict/batch", {"instances": [VIRGINICA] * 3})
    own.post("/predict", {})
    predictions = {"setosa": 2, "versicolor": 0, "virginica": 3}
    for label, number in predictions.items():
        assert own.metric("model_predictions_total", result=label, **VERSION) == number
        assert own.metric("model_prediction_confidence_count", result=label, **VERSION) == number
        assert own.metric("model_expected_share", result=label, **VERSION) == pytest.approx(1 / 3, abs=0.05)
    assert own.metric("model_prediction_duration_seconds_count", **VERSION) == 3
    assert own.metric("model_available", **VERSION) == 1
    assert own.metric("model_expected_confidence", **VERSION) > 0.8
    assert own.metric("served_model_info", estimator="logistic_regression", **VERSION) == 1
    assert own.metric("http_requests_total", method="POST", endpoint="/predict", status="200") == 2
    assert own.metric("http_requests_total", method="POST", endpoint="/predict", status="422") == 1
    assert own.metric("http_request_duration_seconds_count", method="POST", endpoint="/predict") == 2
    assert own.metric("http_errors_total", error_type="ValidationError", endpoint="/predict") == 1
    assert own.metric("http_requests_in_flight") == 0
    declared = load_declaration(Path(own.settings["MODELS_DIR"]) / "plants").metrics
    names = {name for name, _ in own.metrics()}
    assert not [
        named.name for named in declared.values() if not any(name.startswith(named.name) for name in names)
    ]


def test_its_dashboard_reads_what_it_shows(own: Server) -> None:
    expressions = " ".join(expression for _, expression in panel_queries("monitoring/grafana-model.json"))
    read = set(re.findall(r"([a-z_]+)\{", expressions)) - {"up"}
    assert len(read) == 14
    assert read <= {name for name, _ in own.metrics()}


def test_drift_sees_values_beyond_the_training_data(own: Server) -> None:
    shifted: dict[str, Any] = {"instances": [ROW | {"petal_length": 9.5}] * 50}
    own.post("/predict/batch", shifted)

    def counted() -> Iterator[tuple[str, float]]:
        for (name, labels), value in own.metrics().items():
            shown = dict(labels)
            if name == "feature_values_total" and shown["feature"] == "petal_length":
                yield shown["bin"], value

    eventually(lambda: sum(value for _, value in counted()) == 50, "all rows are counted")
    assert {name: value for name, value in counted() if value} == {"5: > 5.35": 50}
    assert own.metric("feature_out_of_range_total", feature="petal_length", **VERSION) == 50


def test_two_of_them_are_served_together_and_beside_a_shipped_one(
    start: Callable[..., Server], models: Path
) -> None:
    for served in ("plants,flowers", "heart-disease,plants", "plants,heart-disease"):
        server = start(MODEL=served, MODELS_DIR=str(models))
        for name in served.split(","):
            row = SAMPLE if name == "heart-disease" else ROW
            assert server.post(f"/models/{name}/predict", row).status_code == 200
        for name in {"plants", "flowers"} & set(served.split(",")):
            assert server.metric("model_predictions_total", model=name, result="setosa") == 1
        if "heart" in served:
            assert server.metric("predictions_total", prediction_result="no_disease") == 1
