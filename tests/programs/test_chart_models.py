"""Models that are not in the server's image: from an MLflow server, from an image of their own."""

from pathlib import Path
from typing import Any

import pytest

from tests.harness import Server
from tests.mlflow import RawServer, registry
from tests.programs.test_chart import ARTIFACT, rejected, template
from tests.programs.test_chart_values import ci, of_kind, written
from tests.systems import MODELS

MLFLOW = {"trackingUri": "http://mlflow.mlflow:5000", "existingSecret": "mlflow"}


def pod_of(objects: list[dict[str, Any]]) -> dict[str, Any]:
    return dict(of_kind(objects, "Deployment")["spec"]["template"]["spec"])


def settings_of(objects: list[dict[str, Any]]) -> dict[str, str]:
    return dict(of_kind(objects, "ConfigMap")["data"])


def test_the_settings_serve_a_registered_version_with_the_secret(tmp_path: Path) -> None:
    """As Kubernetes gives them to the server: the Secret's items as variables, beside the ConfigMap's."""
    with RawServer(registry(MODELS / "iris", "v1", {})) as mlflow:
        address = MLFLOW | {"trackingUri": mlflow.url}
        values = written(tmp_path, model={"name": "iris", "uri": "models:/Iris 2/3", "mlflow": address})
        secret = {"MLFLOW_TRACKING_USERNAME": "user", "MLFLOW_TRACKING_PASSWORD": "word"}
        local = {"HOST": "127.0.0.1", "PORT": "", "DRAIN_SECONDS": "0"}
        server = Server(secret | settings_of(template(*values)) | local).wait_until_ready()
        assert server.get("/models/iris").json()["version"] == "v1"
        assert server.stop() == 0
        assert len(mlflow.requests) > 3
        assert all("Authorization: Basic dXNlcjp3b3Jk" in request for request in mlflow.requests)


def test_a_registered_version_has_time_room_and_a_way_out(tmp_path: Path) -> None:
    objects = template(*ci("mlflow"))
    pod = pod_of(objects)
    (container,) = pod["containers"]
    assert container["envFrom"] == [
        {"secretRef": {"name": "mlflow"}},
        {"configMapRef": {"name": "heart-disease-api"}},
    ]
    assert container["startupProbe"]["failureThreshold"] * container["startupProbe"]["periodSeconds"] == 180
    assert {"name": "tmp", "emptyDir": {"sizeLimit": "576Mi"}} in pod["volumes"]
    ports = [rule["port"] for rule in of_kind(objects, "NetworkPolicy")["spec"]["egress"][0]["ports"]]
    assert ports == [443, 53, 53]
    patient = written(tmp_path, probes={"startup": {"periodSeconds": 7, "failureThreshold": 100}})
    (container,) = pod_of(template(*ci("mlflow"), *patient))["containers"]
    assert container["startupProbe"]["failureThreshold"] == 100
    (plain,) = pod_of(template())["containers"]
    assert plain["envFrom"] == [{"configMapRef": {"name": "heart-disease-api"}}]


def test_models_of_an_image_are_a_volume() -> None:
    mirror = ["--set", "global.imageRegistry=mirror.example"]
    objects = template(*ci("models-image"), *mirror)
    pod = pod_of(objects)
    reference = "mirror.example/registry.example.org/churn-models:2"
    image = {"reference": reference, "pullPolicy": "IfNotPresent"}
    assert {"name": "models", "image": image} in pod["volumes"]
    mount = {"name": "models", "mountPath": "/models", "readOnly": True}
    assert mount in pod["containers"][0]["volumeMounts"]
    assert settings_of(objects)["MODELS_DIR"] == "/models"
    assert "needs Kubernetes 1.35" in rejected(*ci("models-image"), "--kube-version", "1.32.0")


def retraining(folder: Path, mlflow: dict[str, str], **retrain: str) -> tuple[list[Any], list[Any], int]:
    """Return a run's sources of variables, its address of MLflow, and the port that it may reach."""
    given = {"enabled": True, "claim": "c", "file": ARTIFACT, **retrain}
    objects = template(*written(folder, retrain=given, model={"mlflow": mlflow}))
    job = of_kind(objects, "CronJob")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = job["containers"]
    (policy,) = [
        found["spec"]
        for found in objects
        if found["kind"] == "NetworkPolicy" and found["metadata"]["name"].endswith("-retrain")
    ]
    address = [found["value"] for found in container["env"] if found["name"] == "MLFLOW_TRACKING_URI"]
    return container.get("envFrom", []), address, policy["egress"][0]["ports"][0]["port"]


def test_retraining_has_the_secret_of_the_server_that_it_asks(tmp_path: Path) -> None:
    """And never that of another."""
    of_models = [{"secretRef": {"name": "mlflow"}}]
    assert retraining(tmp_path, MLFLOW) == (of_models, [MLFLOW["trackingUri"]], 5000)
    other = "https://other.example"
    assert retraining(tmp_path, MLFLOW, mlflowTrackingUri=other) == ([], [other], 443)
    own = [{"secretRef": {"name": "own"}}]
    assert retraining(tmp_path, MLFLOW, mlflowTrackingUri=other, mlflowSecret="own") == (own, [other], 443)


REGISTERED = {"uri": "models:/churn/2", "mlflow": MLFLOW, "name": "churn"}


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"model": {"uri": "models:/churn/2"}}, "need model.mlflow.trackingUri"),
        ({"model": {"mlflow": {"existingSecret": "mlflow"}}}, "need model.mlflow.trackingUri"),
        ({"model": {"uri": "models:/churn/latest"}}, "/model/uri"),
        ({"model": {"uri": "runs:/churn"}}, "/model/uri"),
        (
            {"model": {"mlflow": {"trackingUri": "http://user:word@mlflow"}}},
            "without a user and a password, which model.mlflow.existingSecret has",
        ),
        ({"model": REGISTERED, "models": {"claim": "models"}}, "each say where models are: set one"),
        ({"models": {"claim": "models", "image": "churn:2"}}, "each say where models are: set one"),
        ({"model": REGISTERED | {"version": "v2"}}, "a registered version is served alone"),
        ({"model": REGISTERED, "candidate": {"version": "v2"}}, "a registered version is served alone"),
        (
            {
                "model": REGISTERED | {"name": "heart-disease"},
                "metrics": {"prometheusRule": {"enabled": True}},
            },
            "set it to the name in the registered model.toml",
        ),
        ({"retrain": {"mlflowSecret": "own"}}, "is for the server of retrain.mlflowTrackingUri"),
        ({"models": {"image": "Churn 2"}}, "/models/image"),
    ],
)
def test_contradictions_are_sentences(values: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    assert sentence in rejected(*written(tmp_path, **values))
