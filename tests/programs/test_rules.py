"""The rules, by a real Prometheus; tests/unit/test_alerts.py holds that each alert has tests."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml

from bench.prometheus import Prometheus, get
from monitoring.alerting.__main__ import CHARTS_RULES
from tests.harness import PROJECT, run
from tests.programs.test_chart import OPERATORS, PROBE, template

RULES = PROJECT / "monitoring" / "rules"


def test_promtool_reads_the_rules() -> None:
    run("promtool", "check", "rules", "--lint=all", "--lint-fatal", *RULES.glob("*.yaml"))


def test_promtool_proves_them() -> None:
    run("promtool", "test", "rules", *(RULES / "tests").glob("*.yaml"))


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with Prometheus(tmp_path_factory.mktemp("prometheus"), {}) as running:
        yield running


def selectors(node: Any) -> Iterator[dict[str, str]]:
    """Yield the labels that each selector of a parsed expression asks for."""
    if isinstance(node, list):
        for child in node:
            yield from selectors(child)
    elif isinstance(node, dict):
        if node.get("type") in {"vectorSelector", "matrixSelector"}:
            yield {matcher["name"]: matcher["value"] for matcher in node["matchers"]}
        for child in node.values():
            yield from selectors(child)


def selected(prometheus: Prometheus, rule: dict[str, Any]) -> list[dict[str, str]]:
    """Return what each selector of a rule asks for, the metric's name included."""
    asked = urlencode({"query": rule["expr"]})
    return list(selectors(json.loads(get(f"{prometheus.url}/api/v1/parse_query?{asked}"))["data"]))


@pytest.mark.parametrize("file", sorted(CHARTS_RULES.glob("*.yaml")), ids=lambda file: file.stem)
def test_each_selector_of_the_charts_rules_is_of_its_release(prometheus: Prometheus, file: Path) -> None:
    for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]:
        for rule in group["rules"]:
            found = selected(prometheus, rule)
            assert found, rule
            for labels in found:
                assert (labels.get("namespace"), labels.get("job")) == ("@namespace@", "@job@"), rule


@pytest.mark.parametrize("model", sorted(file.stem for file in CHARTS_RULES.glob("*.yaml")))
def test_the_operators_probe_has_the_labels_that_rules_select(prometheus: Prometheus, model: str) -> None:
    values = f"metrics.prometheusRule.enabled=true,fullnameOverride=risk,model.name={model}"
    objects = template("--set", f"{PROBE},{values}", *OPERATORS)
    specs = {found["kind"]: found["spec"] for found in objects if "spec" in found}
    probe = specs["Probe"]
    labels = {"job": probe["jobName"]} | probe["targets"]["staticConfig"]["labels"]
    rules = [rule for group in specs["PrometheusRule"]["groups"] for rule in group["rules"]]
    found = [asked for rule in rules for asked in selected(prometheus, rule)]
    of_probes = [asked for asked in found if asked.pop("__name__") == "probe_success"]
    assert of_probes
    for asked in of_probes:
        assert asked.items() <= labels.items()
    assert "app" not in labels, "rules would take the prober for a pod"


@pytest.mark.parametrize("model", ["heart-disease", "iris", "my-own"])
def test_the_chart_has_rules_for_the_release_and_its_model(model: str, tmp_path: Path) -> None:
    options = [
        "--set",
        f"metrics.prometheusRule.enabled=true,model.name={model},fullnameOverride=risk",
        *OPERATORS,
    ]
    (rule,) = [found for found in template(*options) if found["kind"] == "PrometheusRule"]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump(rule["spec"]), encoding="utf-8")
    run("promtool", "check", "rules", file)
    text = json.dumps(rule["spec"])
    assert 'job=\\"risk\\"' in text
    assert "@" not in text.replace("https://", "")
    assert ("api_requests_total" in text) == (model == "heart-disease")
    assert ("http_requests_total" in text) == (model != "heart-disease")
    assert ("ml_model_loaded" in text) == (model == "iris")
    assert ("model_predictions_total" in text) == (model == "my-own")
    assert "feature_values_total" in text
