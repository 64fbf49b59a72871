"""metrics.port: what the chart renders, and which of a pod's ports Prometheus' own relabelling keeps.

tests/cluster/test_monitoring.py has a release with it.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.harness import PROJECT, run
from tests.programs.test_chart import template

PORT = ["--set", "metrics.port=9091"]
EVERYTHING_PUBLIC = [
    "--set",
    "ingress.enabled=true,httpRoute.enabled=true,httpRoute.parentRefs[0].name=public",
]
CONFIGURATION = PROJECT / "monitoring" / "prometheus-config.yaml"


def manifest(kind: str, *options: str, name: str = "heart-disease-api") -> dict[str, Any]:
    (found,) = [
        found for found in template(*options) if (found["kind"], found["metadata"]["name"]) == (kind, name)
    ]
    return found


def container(*options: str) -> dict[str, Any]:
    found: dict[str, Any] = manifest("Deployment", *options)["spec"]["template"]["spec"]["containers"][0]
    return found


def test_the_pod_gets_the_port_and_the_server_its_setting() -> None:
    assert container(*PORT)["ports"] == [
        {"name": "http", "containerPort": 8000},
        {"name": "metrics", "containerPort": 9091},
    ]
    assert manifest("ConfigMap", *PORT)["data"]["METRICS_PORT"] == "9091"
    assert [port["name"] for port in container()["ports"]] == ["http"]
    assert "METRICS_PORT" not in manifest("ConfigMap")["data"]


@pytest.mark.parametrize("kind", ["NodePort", "LoadBalancer", "ClusterIP"])
def test_nothing_that_faces_outward_publishes_it(kind: str) -> None:
    options = [*PORT, *EVERYTHING_PUBLIC, "--set", f"service.type={kind}"]
    for found in template(*options, "--set", "metrics.serviceMonitor.enabled=true"):
        if found["kind"] in {"Service", "Ingress", "HTTPRoute"} and found["spec"].get("clusterIP") != "None":
            assert "metrics" not in json.dumps(found["spec"])
            assert "9091" not in json.dumps(found["spec"])


def test_only_prometheus_reaches_it_and_everybody_the_api() -> None:
    http, metrics = manifest("NetworkPolicy", *PORT)["spec"]["ingress"]
    assert http == {"ports": [{"port": "http", "protocol": "TCP"}]}
    assert metrics["ports"] == [{"port": "metrics", "protocol": "TCP"}]
    assert metrics["from"] == [{"podSelector": {"matchLabels": {"app": "prometheus"}}}]
    assert manifest("NetworkPolicy")["spec"]["ingress"] == [http]


def prometheus() -> dict[str, Any]:
    text = (PROJECT / "monitoring" / "prometheus-deployment.yaml").read_text(encoding="utf-8")
    (found,) = [found for found in yaml.safe_load_all(text) if found["kind"] == "Deployment"]
    return dict(found["spec"]["template"])


def test_the_policys_default_is_the_prometheus_of_monitoring() -> None:
    (peer,) = manifest("NetworkPolicy", *PORT)["spec"]["ingress"][1]["from"]
    assert peer["podSelector"]["matchLabels"].items() <= prometheus()["metadata"]["labels"].items()


def test_annotations_name_it() -> None:
    def annotated(*options: str) -> str:
        pod = manifest("Deployment", "--set", "metrics.annotations=true", *options)["spec"]["template"]
        return str(pod["metadata"]["annotations"]["prometheus.io/port"])

    assert (annotated(), annotated(*PORT)) == ("8000", "9091")


@pytest.mark.parametrize("options", [[], PORT])
def test_the_operator_finds_each_pod_once_under_the_same_job(options: list[str]) -> None:
    objects = template(*options, "--set", "metrics.serviceMonitor.enabled=true")
    (monitor,) = [found for found in objects if found["kind"] == "ServiceMonitor"]
    (endpoint,) = monitor["spec"]["endpoints"]
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    services = [found for found in objects if found["kind"] == "Service"]
    (service,) = [found for found in services if wanted <= found["metadata"]["labels"].items()]
    (port,) = service["spec"]["ports"]
    assert (port["name"], port["targetPort"]) == (endpoint["port"], endpoint["port"])
    (pods,) = [found for found in objects if found["kind"] == "Deployment"]
    assert service["spec"]["selector"].items() <= pods["spec"]["template"]["metadata"]["labels"].items()
    jobs = [
        relabeling["replacement"]
        for relabeling in endpoint["relabelings"]
        if relabeling.get("targetLabel") == "job"
    ]
    assert (jobs or [service["metadata"]["name"]]) == ["heart-disease-api"]


# ---- monitoring/prometheus-config.yaml ----


def discovered(pod: dict[str, Any], name: str, phase: str = "Running") -> Iterator[dict[str, Any]]:
    """Yield what pod discovery finds of a pod: a target for each port of each container."""
    labels = {"namespace": "mlops", "pod_name": name, "pod_phase": phase, "pod_node_name": "node"}
    for key, value in pod["metadata"].get("annotations", {}).items():
        labels["pod_annotation_" + re.sub("[^A-Za-z0-9_]", "_", key)] = value
    for container in pod["spec"]["containers"]:
        for port in container["ports"]:
            port_labels = labels | {"pod_container_port_name": port["name"]}
            meta = {f"__meta_kubernetes_{key}": value for key, value in port_labels.items()}
            yield {"targets": [f"{name}:{port['containerPort']}"], "labels": meta}


def kept(targets: list[dict[str, Any]], job: str, folder: Path) -> list[tuple[str, str]]:
    """Return pod and address of the targets that the job's rules keep, as Prometheus itself says."""
    configuration = yaml.safe_load(CONFIGURATION.read_text(encoding="utf-8"))
    (scrape,) = [candidate for candidate in configuration["scrape_configs"] if candidate["job_name"] == job]
    del scrape["kubernetes_sd_configs"]
    scrape["static_configs"] = targets
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump({"scrape_configs": [scrape]}), encoding="utf-8")
    said = run("promtool", "check", "service-discovery", "--timeout=1s", file, job).stdout
    found = [target["labels"] for target in json.loads(said) if target.get("labels")]
    return sorted((labels["pod"], labels["instance"]) for labels in found)


def test_each_pod_is_scraped_once_while_the_port_is_rolled_out(tmp_path: Path) -> None:
    before, after = (manifest("Deployment", *options)["spec"]["template"] for options in ([], PORT))
    annotated = manifest("Deployment", *PORT, "--set", "metrics.annotations=true")["spec"]["template"]
    pods = {"old": before, "new": after, "annotated": annotated}
    targets = [target for name, pod in pods.items() for target in discovered(pod, name)]
    targets += discovered(after, "over", "Succeeded")
    assert len(targets) == 7
    assert kept(targets, "heart-disease-api", tmp_path) == [
        ("annotated", "annotated:9091"),
        ("new", "new:9091"),
        ("old", "old:8000"),
    ]


@pytest.mark.parametrize("job", ["alertmanager", "grafana"])
def test_the_other_jobs_scrape_the_http_port(job: str, tmp_path: Path) -> None:
    text = (PROJECT / "monitoring" / f"{job}-deployment.yaml").read_text(encoding="utf-8")
    (found,) = [found for found in yaml.safe_load_all(text) if found["kind"] == "Deployment"]
    targets = list(discovered(found["spec"]["template"], job))
    assert [pod for pod, _ in kept(targets, job, tmp_path)] == [job]
