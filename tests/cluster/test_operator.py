"""The chart's kinds of the Prometheus Operator, under a real one and a Prometheus that it makes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from kubernetes import client

from bench.prometheus import Prometheus
from tests.cluster.conftest import NODES, RELEASE, kubectl
from tests.harness import CHART, PROJECT, SAMPLE, eventually, run
from tools.cluster.build import OPERATED_RESOURCES, custom_resources

NAMESPACE = "operated"
NODE = NODES["heart-node1"]
API, PROMETHEUS = f"http://{NODE}:30085", f"http://{NODE}:30091"
OPERATOR = PROJECT / "tests" / "cluster" / "operator.yaml"
PROBER = PROJECT / "monitoring" / "blackbox-deployment.yaml"
SETTINGS = (
    "service.type=NodePort,service.nodePort=30085,networkPolicy.enabled=true,metrics.serviceMonitor.interval=5s"
    ",metrics.probe.interval=5s,metrics.probe.prober=blackbox-exporter:9115,metrics.probe.module=ready"
)


@pytest.fixture(scope="module", autouse=True)
def operated(cluster: None) -> Iterator[None]:
    """The operator, its Prometheus, and the chart with the values of those who have an operator."""
    kinds = custom_resources(OPERATED_RESOURCES)
    for file in kinds:
        kubectl("apply", "--server-side", "--force-conflicts", "--filename", str(file))
    kubectl("create", "namespace", NAMESPACE)
    try:
        own = ["--namespace", NAMESPACE]
        module = f"--from-file={PROJECT / 'monitoring' / 'blackbox.yml'}"
        kubectl("create", "configmap", "blackbox-config", module, *own)
        kubectl("apply", *own, "--filename", str(OPERATOR), "--filename", str(PROBER))
        values = [f"--values={CHART / 'ci' / file}" for file in ("operators.yaml", "faults.yaml")]
        run("helm", "install", RELEASE, CHART, *own, *values, "--set", SETTINGS, "--wait", "--timeout=60s")
        yield
    finally:
        kubectl("delete", "namespace", NAMESPACE, "--wait=false")
        kubectl("delete", "--namespace", NAMESPACE, "--filename", str(OPERATOR), "--ignore-not-found")
        kubectl("delete", *(f"--filename={file}" for file in kinds))


def answer(path: str, **parameters: str) -> Any:
    """Return what the operator's Prometheus answers, nothing while it does not run."""
    try:
        response = requests.get(f"{PROMETHEUS}/api/v1/{path}", params=parameters, timeout=5)
    except requests.ConnectionError:
        return {}
    return response.json()["data"] if response.ok else {}


def test_each_pod_and_the_probe_are_one_target_each(core: client.CoreV1Api) -> None:
    pods = core.list_namespaced_pod(NAMESPACE, label_selector="app=heart-disease-api").items
    addresses = {f"{pod.status.pod_ip}:9091" for pod in pods}
    assert len(addresses) == 2
    ready = f"http://{RELEASE}.{NAMESPACE}.svc:80/readyz"

    def up() -> list[tuple[str, str]]:
        targets = answer("targets").get("activeTargets", [])
        return sorted(
            (found["labels"]["job"], found["labels"]["instance"])
            for found in targets
            if found["health"] == "up"
        )

    expected = sorted((RELEASE, instance) for instance in (*addresses, ready))
    eventually(lambda: up() == expected, "each target is up once", 60)
    by = f'namespace="{NAMESPACE}", job="{RELEASE}"'
    query = f'count(up{{{by}, app="heart-disease-api"}}) == 2 and on () probe_success{{{by}}} == 1'
    eventually(lambda: answer("query", query=query).get("result"), "by the labels that rules go by")


def rules(groups: list[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return each group's rules without what they found."""
    kept = ("type", "name", "query", "labels", "annotations", "duration", "keepFiringFor")
    return [
        (group["name"], [{key: rule.get(key) for key in kept} for rule in group["rules"]]) for group in groups
    ]


def test_its_rules_are_those_of_a_prometheus_without_it(tmp_path: Path) -> None:
    manifests = yaml.safe_load_all(run("helm", "get", "manifest", RELEASE, "--namespace", NAMESPACE).stdout)
    (rule,) = [manifest for manifest in manifests if manifest and manifest["kind"] == "PrometheusRule"]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rule["spec"]), encoding="utf-8")
    with Prometheus(tmp_path, {"rule_files": ["rules.yaml"]}) as plain:
        without = rules(requests.get(f"{plain.url}/api/v1/rules", timeout=5).json()["data"]["groups"])
    assert sum(len(found) for _, found in without) > 100
    eventually(lambda: answer("rules").get("groups"), "the operator's Prometheus has rules", 60)
    assert rules(answer("rules")["groups"]) == without


def test_a_fault_fires_its_alert() -> None:
    firing = f'ALERTS{{alertname="ApiErrorBurst", alertstate="firing", job="{RELEASE}"}}'

    def fires() -> Any:
        for _ in range(20):
            requests.post(f"{API}/predict", json=SAMPLE, timeout=5)
        return answer("query", query=firing).get("result")

    (found,) = eventually(fires, "the errors' alert fires", 60)
    assert (found["metric"]["error_type"], found["metric"]["namespace"]) == ("InternalError", NAMESPACE)
