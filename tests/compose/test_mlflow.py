"""The churn stack with a real MLflow server: bundles are registered, served from there, and verified."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.compose.conftest import Stack
from tests.harness import HEART, PROJECT, Server, clean_environment, eventually, problem, run
from tests.mlflow import TOO_FEW, log_few_rows
from tests.systems import System


@pytest.fixture(scope="module")
def mlflow() -> Iterator[Stack]:
    stack = Stack("churn")
    stack.services = ["app", "mlflow"]
    stack.up()
    yield stack
    stack.compose("down", "--volumes", "--timeout", "5")


@pytest.fixture(scope="module")
def uri(mlflow: Stack) -> str:
    return f"http://127.0.0.1:{mlflow.environment['MLFLOW_PORT']}"


def register(stack: Stack) -> list[str]:
    said = run("make", "register", "MODEL=churn", settings=stack.environment).stdout
    return [line for line in said.splitlines() if line.startswith("churn v")]


def registered(uri: str) -> dict[str, dict[str, str]]:
    found = requests.get(
        f"{uri}/api/2.0/mlflow/model-versions/search", params={"filter": "name = 'churn'"}, timeout=10
    ).json()
    return {version["version"]: version for version in found.get("model_versions", [])}


def test_versions_are_registered_once_with_their_metrics(mlflow: Stack, uri: str) -> None:
    assert register(mlflow) == [
        "churn v1 is registered as models:/churn/1",
        "churn v2 is registered as models:/churn/2",
    ]
    assert register(mlflow) == [
        "churn v1 is already registered as models:/churn/1",
        "churn v2 is already registered as models:/churn/2",
    ]
    versions = registered(uri)
    assert set(versions) == {"1", "2"}
    answer = requests.get(
        f"{uri}/api/2.0/mlflow/runs/get", params={"run_id": versions["2"]["run_id"]}, timeout=10
    )
    data = answer.json()["run"]["data"]
    metrics = {metric["key"]: metric["value"] for metric in data["metrics"]}
    estimates = System("churn").manifest.evaluation.metrics
    expected = {name: estimate.value for name, estimate in estimates.items()}
    assert {name: metrics[name] for name in estimates} == expected
    assert {"key": "estimator", "value": "GradientBoostingClassifier"} in data["params"]


def test_the_api_serves_a_registered_version_and_no_other(mlflow: Stack) -> None:
    settings = {"MODEL": "models:/churn/2"}
    mlflow.compose("up", "--detach", "--wait", "app", settings=settings)
    churn = System("churn")
    answers = requests.post(f"{mlflow.url}/v2/predict", json=churn.rows[:50], timeout=10).json()
    expected = churn.expected("v2")[:50, 1]
    assert [answer["probability"] for answer in answers] == pytest.approx(expected, abs=1e-5)
    assert (
        requests.post(f"{mlflow.url}/predict", json=churn.sample, timeout=5).json()["model"]["version"]
        == "v2"
    )
    problem(requests.post(f"{mlflow.url}/v1/predict", json=churn.sample, timeout=5), 404, "NotFound")


def test_rows_to_retrain_from_may_be_an_artifact_of_a_run(uri: str, tmp_path: Path) -> None:
    """Fifty rows: the message that they are too few shows that they arrived."""
    folder = shutil.copytree(HEART, tmp_path / "heart-disease")
    artifact = log_few_rows(uri)

    def said(artifact: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "training.retrain", "--models-dir", str(folder.parent)]
        result = subprocess.run(
            [*command, "--data", artifact],
            cwd=PROJECT, env=clean_environment(MLFLOW_TRACKING_URI=uri),
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return result.returncode, result.stderr.splitlines()[-1]

    assert said(artifact) == (3, TOO_FEW)
    nobody = "0" * 32
    code, line = said(f"runs:/{nobody}/rows.csv")
    assert (code, line.endswith(f"error: argument --data: {uri} has no run {nobody}")) == (2, True), line
    other = artifact.replace("rows.csv", "other.csv")
    code, line = said(other)
    assert (code, f"{uri} has no {other}" in line) == (2, True), line


def test_mlflow_recovers_with_its_data(mlflow: Stack, uri: str) -> None:
    churn = System("churn")
    before = mlflow.container("mlflow")["State"]
    os.kill(before["Pid"], signal.SIGKILL)
    assert requests.post(f"{mlflow.url}/predict", json=churn.sample, timeout=5).json()["label"] == "No"

    def back() -> bool:
        state = mlflow.container("mlflow")["State"]
        return bool(state["StartedAt"] != before["StartedAt"] and state["Health"]["Status"] == "healthy")

    eventually(back, "MLflow is back", 120)
    assert set(registered(uri)) == {"1", "2"}
    mlflow.compose("stop", "mlflow")
    assert requests.post(f"{mlflow.url}/predict", json=churn.sample, timeout=5).status_code == 200
    assert requests.get(f"{mlflow.url}/readyz", timeout=5).ok
    mlflow.compose("up", "--detach", "--wait", "mlflow")


def refusal(uri: str, reference: str) -> str:
    """Start the server from a registered version, and return the sentence with which it stops."""
    server = Server({"MODEL": reference, "MLFLOW_TRACKING_URI": uri})
    assert server.wait() == 1
    assert "Traceback" not in "\n".join(server.lines)
    return server.lines[-1]


def test_an_alias_is_resolved_at_the_start(uri: str) -> None:
    alias = {"name": "churn", "alias": "champion", "version": "1"}
    place = f"{uri}/api/2.0/mlflow/registered-models/alias"
    requests.post(place, json=alias, timeout=10).raise_for_status()
    settings = {"MODEL": "models:/churn@champion", "MLFLOW_TRACKING_URI": uri}
    server = Server(settings).wait_until_ready()
    requests.post(place, json=alias | {"version": "2"}, timeout=10).raise_for_status()
    assert server.get("/models/churn").json()["version"] == "v1"
    assert server.stop() == 0
    server = Server(settings).wait_until_ready()
    assert server.get("/models/churn").json()["version"] == "v2"
    (line,) = [line for line in server.lines if '"message":"started"' in line]
    assert '"registered":"models:/churn/2 (alias champion)"' in line
    assert server.stop() == 0


def test_what_is_not_registered_is_rejected(uri: str) -> None:
    assert refusal(uri, "models:/churn@nobody") == f"error: {uri} has no models:/churn@nobody"
    assert refusal(uri, "models:/nobody@champion") == f"error: {uri} has no models:/nobody@champion"
    assert refusal(uri, "models:/churn/99") == f"error: {uri} has no models:/churn/99"
    assert refusal(uri, "models:/nobody/1") == f"error: {uri} has no models:/nobody/1"


NO_BUNDLE = """
import mlflow
client = mlflow.MlflowClient()
mlflow.set_experiment('other')
with mlflow.start_run() as run:
    mlflow.log_text('hello', 'model/readme.txt')
    client.create_registered_model('other')
    client.create_model_version('other', source=mlflow.get_artifact_uri('model'), run_id=run.info.run_id)
"""


def test_a_registered_version_that_is_not_a_bundle_is_rejected(mlflow: Stack, uri: str) -> None:
    mlflow.compose("run", "--rm", "register", "python", "-c", NO_BUNDLE)
    assert refusal(uri, "models:/other/1").startswith("error: models:/other/1 is not a bundle")


ALTER = """
import pathlib
(model,) = [file for file in pathlib.Path('/mlflow/artifacts').rglob('v1/model.onnx')]
model.write_bytes(model.read_bytes()[:-1] + b'x')
"""


def test_a_bundle_that_was_altered_in_the_registry_is_rejected(mlflow: Stack, uri: str) -> None:
    good = Server({"MODEL": "models:/churn/1", "MLFLOW_TRACKING_URI": uri}).wait_until_ready()
    assert good.get("/models/churn").json()["version"] == "v1"
    assert good.stop() == 0
    mlflow.compose("exec", "mlflow", "python", "-c", ALTER)
    said = refusal(uri, "models:/churn/1")
    assert "v1/model.onnx is not the file that bundle.json describes" in said


def test_workers_share_one_download(uri: str) -> None:
    server = Server(
        {"MODEL": "models:/churn/2", "MLFLOW_TRACKING_URI": uri, "WORKERS": "2"}
    ).wait_until_ready()
    eventually(lambda: sum("listening" in line for line in server.lines) == 2, "both workers listen")
    assert sum('"message":"fetched"' in line for line in server.lines) == 1
    assert server.stop() == 0
