"""The chart without a release: what it refuses, what it renders, and that nothing drifts from it."""

import json
import re
from typing import Any

import pytest
import yaml

from serving.app import project_version
from tests.cluster.conftest import CHART, kubectl, run
from tests.harness import PROJECT
from tools.render_k8s import render


def template(*options: str) -> list[dict[str, Any]]:
    rendered = run("helm", "template", "heart-disease-api", CHART, "--namespace", "mlops", *options).stdout
    return [found for found in yaml.safe_load_all(rendered) if found]


def refused(*options: str) -> str:
    result = run("helm", "template", "heart-disease-api", CHART, *options, check=False)
    assert result.returncode != 0
    return result.stderr


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("replicas=3", "replicas"),
        ("image.tga=v1", "tga"),
        ("service.type=NodePorts", "service"),
        ("service.nodePort=99999", "nodePort"),
        ("model.threshold=1.5", "threshold"),
        ("model.version=1", "version"),
        ("server.logLevel=loud", "logLevel"),
        ("server.workers=0", "workers"),
        ("podDisruptionBudget.minAvailable=1", "set minAvailable or maxUnavailable, and the other to null"),
        (
            "podDisruptionBudget.maxUnavailable=null",
            "set minAvailable or maxUnavailable, or enabled to false",
        ),
        (
            "podDisruptionBudget.minAvailable=2,podDisruptionBudget.maxUnavailable=null",
            "no node could ever be drained",
        ),
        (
            "autoscaling.enabled=true,autoscaling.maxReplicas=1",
            "must not be less than autoscaling.minReplicas",
        ),
        ("autoscaling.enabled=true,resources.requests.cpu=null", "needs resources.requests.cpu"),
        ("metrics.annotations=true,metrics.serviceMonitor.enabled=true", "would scrape every pod twice"),
        ("server.drainSeconds=30", "must be more than server.drainSeconds"),
        ("httpRoute.enabled=true", "needs httpRoute.parentRefs"),
        ("faults.allowed=true", "needs a server.environment other than production"),
        ("extraEnv[0].name=FAULT_ERROR_RATE,extraEnv[0].value=1", "FAULT_ERROR_RATE injects faults"),
        ("extraEnv[0].name=THRESHOLD,extraEnv[0].value=1", "has a value of its own in this chart"),
    ],
)
def test_values_that_make_no_sense_are_refused(setting: str, sentence: str) -> None:
    assert sentence in refused("--set", setting)


def test_subchart_keys_are_allowed() -> None:
    assert template("--set", "global.anything=1")


@pytest.mark.parametrize("values", sorted((CHART / "ci").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_ci_values_file_is_linted_and_accepted_by_the_api_server(values: Any) -> None:
    run("helm", "lint", "--strict", CHART, "--values", values)
    rendered = run(
        "helm",
        "template",
        "heart-disease-api",
        CHART,
        "--namespace",
        "default",
        "--values",
        values,
        "--set",
        "service.nodePort=null",
    ).stdout
    file = PROJECT / ".cluster" / f"{values.stem}.yaml"
    file.write_text(rendered, encoding="utf-8")
    kubectl("apply", "--dry-run=server", "--validate=strict", "--filename", str(file))


def test_replicas_are_left_to_the_autoscaler() -> None:
    (deployment,) = [
        found for found in template("--set", "autoscaling.enabled=true") if found["kind"] == "Deployment"
    ]
    assert "replicas" not in deployment["spec"]


def test_selectors_carry_no_version_and_do_not_match_the_test_pod() -> None:
    objects = {found["kind"]: found for found in template()}
    selector = objects["Service"]["spec"]["selector"]
    assert set(selector) == {"app", "app.kubernetes.io/name", "app.kubernetes.io/instance"}
    assert objects["Deployment"]["spec"]["selector"]["matchLabels"] == selector
    assert not selector.items() <= objects["Pod"]["metadata"]["labels"].items()


def test_a_changed_setting_rolls_the_pods_and_a_fixed_tag_does_not_roll_by_itself() -> None:
    def annotations(*options: str) -> dict[str, str]:
        (deployment,) = [found for found in template(*options) if found["kind"] == "Deployment"]
        found: dict[str, str] = deployment["spec"]["template"]["metadata"]["annotations"]
        return found

    assert annotations()["checksum/config"] != annotations("--set", "model.threshold=0.3")["checksum/config"]
    assert "heart-disease-api/release-revision" in annotations()
    assert "heart-disease-api/release-revision" not in annotations("--set", "image.tag=0.1.0")


def test_every_value_is_documented_beside_itself_and_in_the_schema() -> None:
    lines = (CHART / "values.yaml").read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        if re.match(r"\s*[A-Za-z]+: \S", line) and "requests" not in "".join(
            lines[max(0, number - 4) : number]
        ):
            assert lines[number - 1].lstrip().startswith("#"), line
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    assert set(schema["properties"]) == set(values) | {"global"}


def test_plain_manifests_are_the_chart_with_default_values() -> None:
    committed = {path.name: path.read_text(encoding="utf-8") for path in (PROJECT / "k8s").glob("*.yaml")}
    assert committed == render()


def test_the_chart_has_the_projects_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert (chart["version"], chart["appVersion"]) == (project_version(), project_version())
