"""Ways of installing that are more than values: a chart of charts, and rendering without the cluster."""

import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.harness import CHART, run
from tests.programs.dry_runs import DryRuns
from tests.programs.test_chart import rendered, score, template
from tests.programs.test_chart_values import ci

Manifest = dict[str, Any]


@pytest.fixture(scope="module")
def umbrella(programs: None, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the umbrella of ci/ renders, with the chart packed as its dependency."""
    chart = Path(shutil.copytree(CHART, tmp_path_factory.mktemp("umbrella") / "chart"))
    run("helm", "dependency", "build", chart / "ci" / "umbrella")
    return run("helm", "template", "ward", chart / "ci" / "umbrella", "--namespace", "default").stdout


def objects_of(text: str, kind: str) -> dict[str, Manifest]:
    found = [found for found in yaml.safe_load_all(text) if found and found["kind"] == kind]
    return {manifest["metadata"]["name"]: manifest for manifest in found}


def test_an_umbrella_with_two_aliases_has_two_releases(umbrella: str) -> None:
    identities = Counter(
        (found["kind"], found["metadata"]["name"]) for found in yaml.safe_load_all(umbrella) if found
    )
    assert identities.most_common(1)[0][1] == 1
    deployments, services = objects_of(umbrella, "Deployment"), objects_of(umbrella, "Service")
    assert set(deployments) == set(services) == {"ward-risk", "ward-readmission"}
    for name, service in services.items():
        selector = service["spec"]["selector"].items()
        matched = [
            found
            for found, deployment in deployments.items()
            if selector <= deployment["spec"]["template"]["metadata"]["labels"].items()
        ]
        assert matched == [name]
    for name, rule in objects_of(umbrella, "PrometheusRule").items():
        assert set(re.findall(r'\bjob="([^"]*)"', str(rule))) == {name}
    boards = [name for name in objects_of(umbrella, "ConfigMap") if "dashboard" in name]
    assert len(boards) == 6
    for deployment in deployments.values():
        pod = deployment["spec"]["template"]["spec"]
        assert pod["containers"][0]["image"] == "registry.example.org/heart-disease-api:0.1.0"
        assert pod["imagePullSecrets"] == [{"name": "registry"}]


def test_kubernetes_and_kube_score_accept_the_umbrella(
    umbrella: str, dry_runs: DryRuns, tmp_path: Path
) -> None:
    assert dry_runs.refusals(umbrella, "default") == []
    without_tests = [
        text for text in re.split(r"(?m)^---$", umbrella) if "helm.sh/hook" not in text and text.strip()
    ]
    score("---".join(without_tests), "umbrella", tmp_path)


def test_gitops_renders_the_same_each_time_without_a_secret() -> None:
    """A controller that renders again must find nothing to change."""
    text = rendered(*ci("gitops"))
    assert text == rendered(*ci("gitops"))
    assert text == rendered(*ci("gitops"), "--is-upgrade")
    assert "release-revision" not in text
    found = template(*ci("gitops"))
    assert not [manifest for manifest in found if manifest["kind"] == "Secret"]
    hooks = [found["metadata"]["name"] for found in found if "helm.sh/hook" in str(found["metadata"])]
    assert hooks == ["heart-disease-api-test"]
    for deployment in (manifest for manifest in found if manifest["kind"] == "Deployment"):
        scaled = deployment["metadata"]["name"] == "heart-disease-api"
        assert ("replicas" in deployment["spec"]) != scaled  # the autoscaler's, which a sync would undo
