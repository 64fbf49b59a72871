"""A real cluster of two nodes, the real image, and the chart installed in it."""

import base64
import os
import subprocess
from collections.abc import Iterator

import pytest
import requests
from kubernetes import client, config

from tests.harness import CHART, PROJECT, eventually, export, run

RELEASE = "heart-disease-api"
NAMESPACE = "mlops"
NODES = {"heart-node1": "10.89.0.11", "heart-node2": "10.89.0.12"}
URL = f"http://{NODES['heart-node1']}:30080"


def helm_install(*options: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    command = [
        "helm",
        "upgrade",
        "--install",
        RELEASE,
        str(CHART),
        "--namespace",
        NAMESPACE,
        "--create-namespace",
    ]
    return run(*command, "--reset-values", "--wait", "--timeout", "120s", *options, check=check)


def kubectl(*arguments: str, check: bool = True) -> str:
    return run("kubectl", *arguments, check=check).stdout


def bearer() -> dict[str, str]:
    """Return the header for reporting outcomes, with the token that the chart has generated."""
    secret = kubectl(
        "get",
        "secret",
        f"{RELEASE}-feedback-token",
        "--namespace",
        NAMESPACE,
        "--output",
        "jsonpath={.data.token}",
    )
    return {"Authorization": f"Bearer {base64.b64decode(secret).decode()}"}


def answers(url: str = URL) -> bool:
    try:
        return requests.get(f"{url}/health", timeout=3).status_code == 200
    except requests.RequestException:
        return False


def every_pod(core: client.CoreV1Api, namespace: str = NAMESPACE) -> list[client.V1Pod]:
    """Return the release's pods, including those that are draining."""
    found: list[client.V1Pod] = core.list_namespaced_pod(
        namespace, label_selector="app=heart-disease-api"
    ).items
    return found


def pods(core: client.CoreV1Api, namespace: str = NAMESPACE) -> list[client.V1Pod]:
    """Return the release's pods that are not draining."""
    return [pod for pod in every_pod(core, namespace) if pod.metadata.deletion_timestamp is None]


def ready_pods(core: client.CoreV1Api, namespace: str = NAMESPACE) -> list[client.V1Pod]:
    def is_ready(pod: client.V1Pod) -> bool:
        return any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions or [])

    return [pod for pod in pods(core, namespace) if is_ready(pod)]


def replaced(core: client.CoreV1Api) -> None:
    """Wait until no pod of the previous release is left: one that drains may still answer a client."""
    eventually(lambda: len(every_pod(core)) == len(ready_pods(core)) > 0, "the old pods are gone", 90)


def kill(pod: client.V1Pod) -> None:
    """Kill a pod's container as a node that runs out of memory would."""
    container = pod.status.container_statuses[0].container_id.removeprefix("containerd://")
    socket = PROJECT / ".cluster" / pod.spec.node_name / "containerd.sock"
    run("ctr", f"--address={socket}", "--namespace=k8s.io", "tasks", "kill", "--signal=SIGKILL", container)


def restarts(core: client.CoreV1Api, pod: client.V1Pod) -> int:
    """Return how often a pod's container was restarted; 0 while it is not ready."""
    status = core.read_namespaced_pod(pod.metadata.name, NAMESPACE).status.container_statuses[0]
    return int(status.restart_count) if status.ready else 0


@pytest.fixture(scope="session", autouse=True)
def cluster() -> None:
    """Use the cluster that `make cluster` has started, with the image that `make test-cluster` has built."""
    environment = PROJECT / ".cluster" / "environment"
    assert environment.exists(), "the cluster does not run: use `make test-cluster`"
    export(environment)


@pytest.fixture(scope="session")
def core(cluster: None) -> client.CoreV1Api:
    config.load_kube_config(os.environ["KUBECONFIG"])
    return client.CoreV1Api()


@pytest.fixture
def release(core: client.CoreV1Api) -> Iterator[None]:
    """The chart with default values, both pods ready, one on each node."""
    helm_install()
    eventually(lambda: len(ready_pods(core)) == 2 and len(pods(core)) == 2, "two pods are ready", 120)
    eventually(answers, "the node port answers", 60)
    yield
    for node in NODES:
        kubectl("uncordon", node, check=False)
