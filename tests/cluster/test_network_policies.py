"""The chart's network policies, each by a packet that passes and one that does not.

The pods have the labels and the ports of the chart's, and a program that answers on every port.
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from kubernetes import client

from tests.cluster.conftest import NODES, kubectl
from tests.harness import CHART, eventually, run
from tools.cluster.places import API_SERVICE_ADDRESS

NAMESPACE = "guarded"
VALUES = {
    "networkPolicy": {
        "from": [{"podSelector": {"matchLabels": {"app": "clinic"}}}],
        "extraEgress": [{"ports": [{"port": 4318}]}],
    },
    "metrics": {"port": 9091},
    "feedback": {
        "enabled": True,
        "databaseSecret": "outcomes",
        "databasePort": 5432,
        "keysSecret": "keys",
        "tokenSecret": "token",
    },
    "retrain": {
        "enabled": True,
        "claim": "models",
        "rows": {"emptyDir": {}},
        "mlflowTrackingUri": "http://mlflow:5000",
        "endpoint": {"enabled": True, "keySecret": "key"},
    },
    "model": {"name": "heart-disease"},
}
PORTS = (53, 80, 4318, 5000, 5432, 6443, 8000, 9091)
LISTEN = f"for port in {' '.join(map(str, PORTS))}; do nc -ll -p $port -e /bin/sh -c : & done; wait"
OTHERS = ("clinic", "prometheus", "stranger", "outside")


class Packet(NamedTuple):
    """From a pod to a pod's port."""

    source: str
    target: str
    port: int


PASS = {
    Packet("clinic", "heart", 8000),
    Packet("prometheus", "heart", 9091),
    Packet("heart", "outside", 5432),
    Packet("heart", "outside", 4318),
    Packet("heart", "outside", 53),
    Packet("stranger", "plain", 8000),
    Packet("retrain", "outside", 5000),
    Packet("retrain", "outside", 53),
    Packet("stranger", "endpoint", 8000),
    Packet("endpoint", "outside", 6443),
}
DROP = {
    Packet("stranger", "heart", 8000),
    Packet("clinic", "heart", 9091),
    Packet("heart", "outside", 80),
    Packet("stranger", "plain", 9091),
    Packet("plain", "outside", 53),
    Packet("plain", "heart", 8000),
    Packet("stranger", "retrain", 8000),
    Packet("retrain", "outside", 5432),
    Packet("stranger", "endpoint", 9091),
    Packet("endpoint", "outside", 5432),
}


def render(release: str, values: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return the release's manifests by kind."""
    settings = [f"--set-json={key}={json.dumps(value)}" for key, value in values.items()]
    rendered = run("helm", "template", release, CHART, "--namespace", NAMESPACE, *settings).stdout
    found: dict[str, list[dict[str, Any]]] = {}
    for manifest in filter(None, yaml.safe_load_all(rendered)):
        found.setdefault(manifest["kind"], []).append(manifest)
    return found


def pod(name: str, node: str, template: dict[str, Any]) -> dict[str, Any]:
    """Return a pod with the labels and ports of a template, which answers on every port."""
    ports = [port for part in template["spec"]["containers"] for port in part.get("ports", [])]
    container = {"name": "listen", "image": "busybox:stable", "imagePullPolicy": "Never", "ports": ports}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": template["metadata"]["labels"]},
        "spec": {
            "nodeName": node,
            "terminationGracePeriodSeconds": 0,
            "containers": [container | {"args": ["-c", LISTEN]}],
        },
    }


def templates(heart: dict[str, list[Any]], plain: dict[str, list[Any]]) -> dict[str, dict[str, Any]]:
    """Return the pod template of each kind of pod that the chart makes, and of others."""
    api, endpoint = sorted(heart["Deployment"], key=lambda found: len(found["metadata"]["name"]))
    others = {name: {"metadata": {"labels": {"app": name}}, "spec": {"containers": []}} for name in OTHERS}
    return {
        "heart": api["spec"]["template"],
        "endpoint": endpoint["spec"]["template"],
        "retrain": heart["CronJob"][0]["spec"]["jobTemplate"]["spec"]["template"],
        "plain": plain["Deployment"][0]["spec"]["template"],
        **others,
    }


def passed(addresses: dict[str, str]) -> set[Packet]:
    """Send every packet, and return those that were answered."""

    def sent(source: str) -> set[Packet]:
        packets = [packet for packet in PASS | DROP if packet.source == source]
        script = "".join(
            f"nc -w 2 {addresses[target]} {port} </dev/null && echo {target} {port};"
            for _, target, port in packets
        )
        said = kubectl("exec", source, "--namespace", NAMESPACE, "--", "sh", "-c", f"{script}:")
        return {Packet(source, target, int(port)) for target, port in map(str.split, said.splitlines())}

    with ThreadPoolExecutor(3) as pool:
        return set().union(*pool.map(sent, {packet.source for packet in PASS | DROP}))


def resolves(source: str) -> bool:
    """Return whether the cluster's DNS answers a pod."""
    lookup = "nslookup kubernetes.default.svc.cluster.local"
    said = kubectl("exec", source, "--namespace", NAMESPACE, "--", "sh", "-c", lookup, check=False)
    return API_SERVICE_ADDRESS in said.split()


@pytest.fixture
def namespace(cluster: None) -> Iterator[None]:
    kubectl("create", "namespace", NAMESPACE)
    yield
    kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def apply(manifests: list[dict[str, Any]], file: Path) -> None:
    file.write_text(yaml.safe_dump_all(manifests), encoding="utf-8")
    kubectl("apply", "--namespace", NAMESPACE, "--filename", str(file))


def test_each_policy_lets_pass_what_it_says_and_nothing_else(
    namespace: None, core: client.CoreV1Api, tmp_path: Path
) -> None:
    heart, plain = render("heart", VALUES), render("plain", {})
    nodes = list(NODES) * 4
    kinds = templates(heart, plain)
    apply([pod(name, node, kinds[name]) for name, node in zip(kinds, nodes, strict=True)], tmp_path / "pods")
    kubectl("wait", "--for=condition=Ready", "pod", "--all", "--namespace", NAMESPACE, "--timeout=60s")
    pods = core.list_namespaced_pod(NAMESPACE).items
    addresses = {found.metadata.name: found.status.pod_ip for found in pods}
    eventually(lambda: passed(addresses) == PASS | DROP, "everything passes without a policy")

    policies = [*heart["NetworkPolicy"], *plain["NetworkPolicy"]]
    assert len(policies) == 4, "a policy has no packet here"
    apply(policies, tmp_path / "policies")
    eventually(lambda: passed(addresses) == PASS, "what the policies allow passes, and nothing else")
    assert resolves("heart")
    assert not resolves("plain")
