"""Install, test, upgrade, roll back, remove: each as a user does it, and each visible in answers."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

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
    helm_install,
    kill,
    kubectl,
    pods,
    ready_pods,
    replaced,
    restarts,
)
from tests.harness import CHART, PROJECT, SAMPLE, copy_project, eventually, run


def threshold() -> float:
    answer = requests.post(f"{URL}/predict", json=SAMPLE, timeout=5).json()
    return float(answer["threshold"])


def test_a_release_from_install_to_removal(core: client.CoreV1Api) -> None:
    run("helm", "uninstall", RELEASE, "--namespace", NAMESPACE, "--ignore-not-found", "--wait")
    helm_install()
    eventually(answers, "the node port answers", 60)
    for address in NODES.values():
        answer = requests.post(f"http://{address}:30080/predict", json=SAMPLE, timeout=5).json()
        assert answer["label"] == "no_disease"
    run("helm", "test", RELEASE, "--namespace", NAMESPACE)

    helm_install("--set", "model.threshold=0.25")
    eventually(lambda: threshold() == 0.25, "the new threshold answers")
    run("helm", "rollback", RELEASE, "--namespace", NAMESPACE, "--wait")
    eventually(lambda: threshold() == 0.5, "the old threshold answers again")

    run("helm", "uninstall", RELEASE, "--namespace", NAMESPACE, "--wait")
    eventually(lambda: not core.list_namespaced_pod(NAMESPACE).items, "the pods are gone", 60)
    kinds = (
        "all,configmaps,secrets,serviceaccounts,networkpolicies,poddisruptionbudgets,horizontalpodautoscalers"
    )
    left = kubectl("get", kinds, "--namespace", NAMESPACE, "--output", "name").split()
    assert set(left) <= {"configmap/kube-root-ca.crt", "serviceaccount/default"}


def test_the_pods_run_on_both_nodes(release: None, core: client.CoreV1Api) -> None:
    assert {pod.spec.node_name for pod in pods(core)} == set(NODES)


def test_notes_have_a_command_that_prints_addresses_that_answer(release: None) -> None:
    notes = run("helm", "get", "notes", RELEASE, "--namespace", NAMESPACE).stdout
    (command,) = [line.strip() for line in notes.splitlines() if "kubectl get nodes" in line]
    urls = run("bash", "-c", command).stdout.split()
    assert len(urls) == 2
    assert [requests.get(url, timeout=5).status_code for url in urls] == [200, 200]


def test_logs_are_parseable_lines_worth_reading(release: None) -> None:
    requests.post(f"{URL}/predict", json=SAMPLE, timeout=5)
    lines = kubectl("logs", "--namespace", NAMESPACE, "--selector", "app=heart-disease-api").splitlines()
    parsed = [json.loads(line) for line in lines]
    assert [line for line in parsed if line.get("route") == "/predict" and line["prediction"] == "no_disease"]
    assert not [
        line for line in parsed if line.get("route") in {"/readyz", "/livez", "/startupz", "/metrics"}
    ]


def test_pods_are_hardened_as_seen_from_inside(release: None) -> None:
    def inside(command: str) -> str:
        return kubectl(
            "exec", "--namespace", NAMESPACE, f"deployment/{RELEASE}", "--", "sh", "-c", command, check=False
        )

    assert inside("id -u").strip() == "10001"
    assert inside("touch /app/x || echo refused").strip() == "refused"
    assert inside("touch /tmp/x && echo written").strip() == "written"
    assert inside("ls /var/run/secrets/kubernetes.io || echo none").strip() == "none"
    status = dict(line.split(":\t", 1) for line in inside("cat /proc/1/status").splitlines() if ":\t" in line)
    assert status["CapEff"].strip("0") == ""
    assert (status["Seccomp"], status["NoNewPrivs"]) == ("2", "1")


@pytest.fixture
def other_image(tmp_path: Path) -> Path:
    """A copy of the project to change and build another image from."""
    return copy_project(tmp_path)


def build(project: Path, image: str) -> None:
    run(sys.executable, "-m", "tools.cluster", "image", image, "--project", str(project))


def test_a_rebuilt_latest_rolls_on_upgrade(release: None, other_image: Path) -> None:
    """The plain way: rebuild under the same name, helm upgrade, and the new behaviour answers."""
    page = other_image / "serving" / "http" / "routes" / "health.py"
    page.write_text(page.read_text(encoding="utf-8").replace('"alive"', '"alive and new"'), encoding="utf-8")
    try:
        build(other_image, "heart-disease-api:latest")
        helm_install()
        eventually(
            lambda: "new" in requests.get(f"{URL}/livez", timeout=5).text, "the new behaviour answers", 60
        )
    finally:
        build(PROJECT, "heart-disease-api:latest")
        helm_install()


def test_a_broken_bundle_rolls_back_and_the_old_release_keeps_answering(
    release: None, other_image: Path
) -> None:
    (other_image / "models" / "heart-disease" / "v1" / "model.onnx").write_bytes(b"broken")
    build(other_image, "heart-disease-api:broken")
    failed = helm_install("--set", "image.tag=broken", "--atomic", "--timeout", "20s", check=False)
    assert failed.returncode != 0
    assert answers()
    history = json.loads(run("helm", "history", RELEASE, "--namespace", NAMESPACE, "--output", "json").stdout)
    assert "Rollback" in history[-1]["description"]
    assert history[-1]["status"] == "deployed"


def test_outcomes_in_sqlite_outlive_a_killed_container(core: client.CoreV1Api) -> None:
    helm_install("--set", "feedback.enabled=true,replicaCount=1")
    try:
        replaced(core)
        eventually(answers, "the node port answers", 60)
        predictions = [
            {"prediction_id": requests.post(f"{URL}/predict", json=SAMPLE, timeout=5).json()["prediction_id"]}
            for _ in range(20)
        ]

        def statuses(headers: dict[str, str]) -> set[int]:
            bodies = [prediction | {"outcome": 1} for prediction in predictions]
            sent = [
                requests.post(f"{URL}/feedback", json=body, headers=headers, timeout=10) for body in bodies
            ]
            return {answer.status_code for answer in sent}

        token = bearer()
        assert statuses({}) == {401}
        assert statuses(token) == {202}
        (pod,) = ready_pods(core)
        kill(pod)
        eventually(lambda: restarts(core, pod) > 0 and answers(), "it is back", 60)
        assert statuses(token) == {200}
        (pod,) = ready_pods(core)
        kubectl("delete", "pod", pod.metadata.name, "--namespace", NAMESPACE)
        eventually(lambda: len(ready_pods(core)) == 1 and answers(), "another takes its place", 60)
        assert statuses(token) == {200}
        helm_install("--set", "feedback.enabled=true,replicaCount=1,feedback.windowDays=29")
        eventually(lambda: len(ready_pods(core)) == 1 and answers(), "the upgraded one answers", 60)
        assert bearer() == token
        assert statuses(token) == {200}
    finally:
        helm_install()
        kept = ["secret/heart-disease-api-feedback-keys", "pvc/heart-disease-api-outcomes"]
        kubectl("delete", *kept, "--namespace", NAMESPACE)


@pytest.fixture
def namespace_admin(core: client.CoreV1Api, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Settings of an account that may do everything in a namespace, and nothing elsewhere."""
    kubectl("create", "namespace", "ward")
    kubectl("create", "serviceaccount", "installer", "--namespace", "ward")
    role = ["--clusterrole=admin", "--serviceaccount=ward:installer"]
    kubectl("create", "rolebinding", "installer", *role, "--namespace", "ward")
    content = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text(encoding="utf-8"))
    token = kubectl("create", "token", "installer", "--namespace", "ward").strip()
    content["users"][0]["user"] = {"token": token}
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    yield {"KUBECONFIG": str(file)}
    kubectl("delete", "namespace", "ward", "--wait=false")


def test_the_admin_of_a_namespace_can_install(namespace_admin: dict[str, str]) -> None:
    """Who may not list nodes or other namespaces installs, upgrades, and keeps the chart's Secrets."""
    assert run("kubectl", "get", "nodes", check=False, settings=namespace_admin).returncode != 0
    values = "feedback.enabled=true,replicaCount=1,candidate.version=v1,service.nodePort=null"
    command = ["helm", "upgrade", "--install", "heart", str(CHART), "--namespace", "ward", "--set", values]
    seen = []
    for _ in range(2):
        run(*command, settings=namespace_admin)
        found = json.loads(kubectl("get", "secrets", "--namespace", "ward", "--output", "json"))["items"]
        seen.append(
            {secret["metadata"]["name"]: secret["data"] for secret in found if secret["type"] == "Opaque"}
        )
    assert seen[0] == seen[1]
    assert len(seen[0]) == 3


def test_plain_manifests_work_without_helm(core: client.CoreV1Api) -> None:
    kubectl("apply", "--kustomize", "k8s")
    try:
        eventually(answers, "the node port answers", 60)
    finally:
        kubectl("delete", "--kustomize", "k8s", "--wait")
