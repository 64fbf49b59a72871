"""A release upgraded from an earlier chart and back, under load; and what other clusters ask of pods."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from kubernetes import client

from tests.cluster.conftest import (
    NAMESPACE,
    NODES,
    RELEASE,
    URL,
    answers,
    bearer,
    kubectl,
    ready_pods,
    replaced,
)
from tests.harness import CHART, PROJECT, SAMPLE, Load, eventually, run
from tests.postgresql import Postgresql

OLD_CHART = PROJECT / "tests" / "charts" / "heart-disease-api-328aab8.tgz"
MIRROR = "registry.example.org/mirror"
ARBITRARY = 1_000_650_000
"""A user as OpenShift chooses one for a namespace; its group is 0."""


@pytest.fixture
def outcomes() -> Iterator[Postgresql]:
    """A PostgreSQL on a node, whose URL is in the Secret `outcomes`; and what a release of it leaves."""
    kept = [f"secret/{RELEASE}-feedback-{name}" for name in ("keys", "token")]
    with Postgresql(NODES["heart-node1"], "heart-node1") as database:
        kubectl("create", "namespace", NAMESPACE, check=False)
        url = f"--from-literal=url={database.url}"
        kubectl("create", "secret", "generic", "outcomes", url, "--namespace", NAMESPACE)
        yield database
        run("helm", "uninstall", RELEASE, "--namespace", NAMESPACE)
        kubectl("delete", "secret/outcomes", *kept, "--namespace", NAMESPACE)


def predicted_id() -> str:
    """Return the id of a prediction, which has none until a pod has read a key that may sign."""
    answer: dict[str, str] = requests.post(f"{URL}/predict", json=SAMPLE, timeout=5).json()
    return answer.get("prediction_id", "")


def prediction_ids(count: int) -> list[str]:
    return [eventually(predicted_id, "a prediction has an id", 60) for _ in range(count)]


def reported(ids: list[str], headers: dict[str, str]) -> set[int]:
    bodies = [{"prediction_id": prediction_id, "outcome": 1} for prediction_id in ids]
    sent = [requests.post(f"{URL}/feedback", json=body, headers=headers, timeout=10) for body in bodies]
    return {answer.status_code for answer in sent}


def test_an_upgrade_from_an_earlier_chart_and_back_loses_nothing(
    core: client.CoreV1Api, outcomes: Postgresql
) -> None:
    """The earlier chart knows no token, which this image asks for: it is told that anybody may report."""
    run("helm", "uninstall", RELEASE, "--namespace", NAMESPACE, "--ignore-not-found", "--wait")
    kept = f"feedback.enabled=true,feedback.databaseSecret=outcomes,feedback.databasePort={outcomes.port}"
    kept += ",replicaCount=1,server.drainSeconds=4"
    anybody = "extraEnv[0].name=FEEDBACK_ANONYMOUS,extraEnv[0].value=true"
    place = ["--namespace", NAMESPACE, "--wait", "--timeout", "120s"]
    run("helm", "install", RELEASE, OLD_CHART, *place, "--set", kept, "--set-string", anybody)
    eventually(answers, "the node port answers", 60)
    told, untold, later = prediction_ids(10), prediction_ids(10), prediction_ids(10)
    assert reported(told, {}) == {202}
    with Load(URL, clients=2) as load:
        run("helm", "upgrade", RELEASE, CHART, *place, "--reset-then-reuse-values", "--set-json=extraEnv=[]")
        replaced(core)
        token = bearer()
        assert reported(untold, {}) == {401}
        assert reported(untold, token) == {202}
        assert reported(told, token) == {200}
        new = prediction_ids(10)
        run("helm", "rollback", RELEASE, *place)
        replaced(core)
        assert reported(later + new, {}) == {202}
        assert reported(told + untold, {}) == {200}
    assert load.failures == []
    assert load.answered > 200
    assert outcomes.ask("SELECT count(*) FROM outcomes") == "40"


def umbrella(folder: Path, releases: dict[str, dict[str, Any]]) -> Path:
    """Write a chart that has ours under several aliases, and one registry for all of them."""
    (folder / "charts").mkdir()
    (folder / "charts" / "heart-disease-api").symlink_to(CHART)
    ours = {"name": "heart-disease-api", "version": ">=0"}
    dependencies = [ours | {"alias": alias, "condition": f"{alias}.enabled"} for alias in releases]
    chart = {"apiVersion": "v2", "name": "hospital", "version": "1.0.0", "dependencies": dependencies}
    (folder / "Chart.yaml").write_text(json.dumps(chart), encoding="utf-8")
    values = {"global": {"imageRegistry": MIRROR}} | releases
    (folder / "values.yaml").write_text(json.dumps(values), encoding="utf-8")
    return folder


@pytest.fixture
def hospital(core: client.CoreV1Api) -> Iterator[str]:
    """A namespace that takes restricted pods alone, on nodes that have the image under a mirror's name."""
    for node in NODES:
        socket = PROJECT / ".cluster" / node / "containerd.sock"
        images = ["ctr", f"--address={socket}", "--namespace=k8s.io", "images", "tag", "--force"]
        image = "heart-disease-api:latest"
        run(*images, f"docker.io/library/{image}", f"{MIRROR}/{image}")
    kubectl("create", "namespace", "hospital")
    kubectl("label", "namespace", "hospital", "pod-security.kubernetes.io/enforce=restricted")
    yield "hospital"
    kubectl("delete", "namespace", "hospital", "--wait=false")


def test_an_umbrella_runs_two_releases_as_other_clusters_do(
    core: client.CoreV1Api, hospital: str, tmp_path: Path
) -> None:
    """One as OpenShift runs it, with outcomes on a volume; one in a mesh, with a container of its own."""

    def values(name: str) -> dict[str, Any]:
        content: dict[str, Any] = yaml.safe_load((CHART / "ci" / f"{name}.yaml").read_text(encoding="utf-8"))
        return content | {"enabled": True, "replicaCount": 1, "podDisruptionBudget": {"enabled": False}}

    openshift = values("openshift") | {"feedback": {"enabled": True}}
    openshift["podSecurityContext"] |= {"runAsUser": ARBITRARY, "runAsGroup": 0, "fsGroup": ARBITRARY}
    sidecar = {
        "name": "proxy",
        "image": "docker.io/library/busybox:stable",
        "command": ["sh", "-c", "sleep 3600"],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    mesh = values("mesh") | {"extraContainers": [sidecar]}
    chart = umbrella(tmp_path, {"ward": openshift, "clinic": mesh})
    place = ["--namespace", hospital]
    run("helm", "install", "north", chart, *place, "--wait", "--timeout", "90s")
    run("helm", "test", "north", *place)
    pods = {pod.metadata.labels["app.kubernetes.io/name"]: pod for pod in ready_pods(core, hospital)}
    assert {container.image for container in pods["ward"].spec.containers} == {
        f"{MIRROR}/heart-disease-api:latest"
    }
    assert [container.name for container in pods["clinic"].spec.containers] == ["api", "proxy"]
    inside = ["exec", *place, "deployment/north-ward", "--container=api", "--"]
    assert kubectl(*inside, "id", "-u").strip() == str(ARBITRARY)
    assert "outcomes.db" in kubectl(*inside, "ls", "/data")
