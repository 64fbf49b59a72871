"""Two versions of a model side by side, and lists of rows: the churn system."""

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.harness import Server, problem
from tests.systems import MODELS, System


@pytest.fixture(scope="module")
def churn() -> System:
    return System("churn")


@pytest.fixture(scope="module")
def both(churn: System) -> Iterator[Server]:
    server = Server({"MODEL": churn.name}).wait_until_ready()
    yield server
    server.stop()


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_each_version_answers_with_its_own_model(both: Server, churn: System, version: str) -> None:
    answers = both.post(f"/{version}/predict/batch", {"instances": churn.rows}).json()
    assert answers["model"] == {"name": "churn", "version": version}
    found = [answer["probability"] for answer in answers["predictions"]]
    assert found == pytest.approx(churn.expected(version)[:, 1], abs=1e-5)
    answer = both.post(f"/{version}/predict", churn.rows[0]).json()
    assert (answer["model"]["version"], answer["probability"]) == (version, found[0])


def test_without_a_version_the_declared_one_answers(both: Server, churn: System) -> None:
    assert both.post("/predict", churn.sample).json()["model"]["version"] == "v2"
    assert both.post("/predict", churn.sample).json()["probability"] == pytest.approx(0.18, abs=0.05)
    versions = [(model["name"], model["version"]) for model in both.get("/models").json()["models"]]
    assert versions == [("churn", "v2"), ("churn", "v1")]


@pytest.mark.heart
def test_a_configured_version_answers_and_both_stay(start: Callable[..., Server], churn: System) -> None:
    server = start(MODEL="churn", MODEL_VERSION="v1")
    versions = {
        path: server.post(f"{path}/predict", churn.sample).json()["model"]["version"]
        for path in ("", "/v1", "/v2")
    }
    assert versions == {"": "v1", "/v1": "v1", "/v2": "v2"}


def test_a_list_of_rows_gets_a_list_of_whole_answers_in_order(both: Server, churn: System) -> None:
    rows = churn.rows[:40]
    one_by_one = [both.post("/v1/predict", row).json() for row in rows]
    answers = both.post("/v1/predict", rows, headers={"X-Request-ID": "list-1"}).json()
    assert [a | {"request_id": ""} for a in answers] == [a | {"request_id": ""} for a in one_by_one]
    assert {answer["request_id"] for answer in answers} == {"list-1"}
    (line,) = both.requests_logged("list-1")
    assert (line["rows"], sum(line["predictions"].values())) == (40, 40)
    assert both.post("/v1/predict", rows[:1]).json()[0]["label"] == answers[0]["label"]


def test_an_invalid_list_is_rejected(both: Server, churn: System) -> None:
    assert "no rows" in problem(both.post("/v2/predict", []), 422, "ValidationError")["detail"]
    too_many = problem(both.post("/v2/predict", [churn.sample] * 1001), 422, "ValidationError")
    assert "1001 rows; send 1000 at most" in too_many["detail"]
    document = problem(both.post("/v2/predict", [churn.sample, {}]), 422, "ValidationError")
    assert document["detail"].startswith("Row 1: ")


@pytest.mark.heart
def test_both_versions_under_load_at_once_and_each_counts_its_own(
    start: Callable[..., Server], churn: System
) -> None:
    server = start(MODEL="churn")
    expected = {version: churn.expected(version)[:, 1].tolist() for version in ("v1", "v2")}

    def client(number: int) -> int:
        version = f"v{number % 2 + 1}"
        right = 0
        for index in range(number, number + 50):
            answer = server.post(f"/{version}/predict", churn.rows[index]).json()
            right += answer["model"]["version"] == version
            right += answer["probability"] == pytest.approx(expected[version][index], abs=1e-5)
        return right

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(client, range(8))) == 8 * 50 * 2
    server.post("/v1/predict", {})
    server.post("/v2/predict", [churn.sample] * 3)

    def counted(version: str, status: str) -> float:
        return server.metric("ml_predictions_total", model_version=version, status=status)

    assert {v: counted(v, "success") for v in ("v1", "v2")} == {"v1": 200, "v2": 203}
    assert {v: counted(v, "error") for v in ("v1", "v2")} == {"v1": 1, "v2": 0}
    assert server.metric("ml_prediction_duration_seconds_count", model_version="v2") == 201
    assert server.metric("http_requests_total", endpoint="/v1/predict", status="200") == 200
    assert server.metric("app_memory_usage_bytes") > 20e6


@pytest.mark.heart
def test_versions_beside_another_model(start: Callable[..., Server], churn: System) -> None:
    server = start(MODEL="fraud,churn")
    for path, version in (("", "v2"), ("/v1", "v1"), ("/v2", "v2")):
        answer = server.post(f"/models/churn{path}/predict", churn.sample).json()
        assert answer["model"] == {"name": "churn", "version": version}
    problem(server.post("/v1/predict", churn.sample), 404, "NotFound")
    assert server.get("/models/churn").json()["version"] == "v2"


@pytest.mark.heart
def test_models_with_names_of_their_own_are_served_together(start: Callable[..., Server]) -> None:
    server = start(MODEL="heart-disease,iris,fraud")
    assert server.metric("model_loaded", model_version="v1") == 1
    assert server.metric("ml_model_loaded", model="iris", model_version="v1") == 1
    assert server.metric("model_up", model_name="fraud_model", version="v1") == 1


def changed(tmp_path: Path, name: str, old: str, new: str) -> Server:
    """Start a model with a changed declaration."""
    models = tmp_path / "models"
    shutil.copytree(MODELS / name, models / name)
    declaration = models / name / "model.toml"
    text = declaration.read_text(encoding="utf-8")
    assert old in text
    declaration.write_text(text.replace(old, new), encoding="utf-8")
    return Server({"MODEL": name, "MODELS_DIR": str(models)})


def test_gauges_of_versions_side_by_side_need_the_version(tmp_path: Path) -> None:
    old = '[metrics.model_loaded]\nname = "model_loaded"\nlabels = { model_version = "version" }'
    server = changed(tmp_path, "churn", old, '[metrics.model_loaded]\nname = "model_loaded"')
    assert server.wait() == 1
    assert "metrics.model_loaded needs the version" in server.lines[-1]


def test_two_metrics_of_one_name_are_rejected(tmp_path: Path) -> None:
    server = changed(tmp_path, "heart-disease", 'name = "model_loaded"', 'name = "model_info"')
    assert server.wait() == 1
    assert "two metrics have the name model_info" in server.lines[-1]


def test_models_whose_metrics_would_mix_are_not_served_together() -> None:
    server = Server({"MODEL": "heart-disease,churn"})
    assert server.wait() == 1
    assert "the metric 'model_loaded' does not tell 'churn' from 'heart-disease'" in server.lines[-1]


def test_a_metric_that_was_not_measured_is_not_shown_as_health(tmp_path: Path) -> None:
    server = changed(tmp_path, "iris", 'model_accuracy = "accuracy"', 'model_accuracy = "auc"')
    assert server.wait() == 1
    assert "health names the metric 'auc', which" in server.lines[-1]


def test_a_missing_version_stops_startup(tmp_path: Path) -> None:
    models = Path(shutil.copytree(MODELS, tmp_path / "models"))
    shutil.rmtree(models / "churn" / "v1")
    server = Server({"MODEL": "churn", "MODELS_DIR": str(models)})
    assert server.wait() == 1
    assert "v1 is missing: 'churn' has these versions: v2" in server.lines[-1]
