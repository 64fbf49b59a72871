"""The rules, by a real Prometheus; tests/unit/test_alerts.py holds that each alert has tests."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml

from bench.prometheus import Prometheus, get
from bundle.declaration import load_declaration
from bundle.metric_names import DEFAULT_METRICS, MetricName
from monitoring.alerting.__main__ import CHARTS_RULES
from monitoring.dashboards.own import render
from tests.harness import PROJECT, run
from tests.programs.test_chart import PROBE, template

RULES = PROJECT / "monitoring" / "rules"
LABELS = {"status": "code", "error_type": "kind"}
"""Labels of the default names, and what a model calls them instead."""


def test_promtool_reads_the_rules() -> None:
    run("promtool", "check", "rules", "--lint=all", "--lint-fatal", *RULES.glob("*.yaml"))


def test_promtool_proves_them() -> None:
    run("promtool", "test", "rules", *(RULES / "tests").glob("*.yaml"))


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of rules of a model whose [metrics] has names and labels that nothing shipped reads."""
    heart = load_declaration(PROJECT / "models" / "heart-disease")
    metrics = {
        concept: MetricName(name=f"credit_{named.name}", labels=renamed(named.labels))
        for concept, named in DEFAULT_METRICS.items()
    }
    folder = tmp_path_factory.mktemp("own")
    for name, content in render(heart.model_copy(update={"name": "credit", "metrics": metrics})).items():
        (folder / name).write_text(content, encoding="utf-8")
    return folder


def renamed(labels: dict[str, str]) -> dict[str, str]:
    return {LABELS.get(label, label): dimension for label, dimension in labels.items()}


def in_own_names(test: str) -> str:
    """Return a test of the default names as one of the names of `own`."""
    for named in DEFAULT_METRICS.values():
        test = re.sub(rf"\b({named.name})(?=[_{{])", r"credit_\1", test)
    for label, other in LABELS.items():
        test = re.sub(rf"(credit_\w+{{[^}}]*|labels: '{{[^}}]*)\b{label}=", rf"\1{other}=", test)
    return test


def test_promtool_proves_the_rules_of_a_models_own_names(own: Path) -> None:
    """Those for its release, by the tests of the chart's rules for other models."""
    text = (RULES / "tests" / "other.yaml").read_text(encoding="utf-8")
    test = yaml.safe_load(in_own_names(text)) | {"rule_files": [str(own / "chart-rules.yaml")]}
    assert "credit_http_requests_total{" in str(test)
    (own / "test.yaml").write_text(yaml.safe_dump(test), encoding="utf-8")
    run("promtool", "test", "rules", own / "test.yaml")


def test_a_prometheus_loads_them_beside_the_shipped_rules(own: Path) -> None:
    files = [*map(str, sorted(RULES.glob("*.yaml"))), str(own / "rules.yaml")]
    run("promtool", "check", "rules", "--lint=all", "--lint-fatal", *files)
    loaded = yaml.safe_load((own / "rules.yaml").read_text(encoding="utf-8"))["groups"]
    alerts = {rule.get("alert") for group in loaded for rule in group["rules"]}
    assert {"ModelNotLoaded", "ApiErrorBurst", "PredictionConfidenceCollapse"} <= alerts
    test = yaml.safe_load(in_own_names((RULES / "tests" / "vocabularies.yaml").read_text(encoding="utf-8")))
    test["rule_files"] = [
        *(str(RULES / "tests" / file) for file in test["rule_files"]),
        str(own / "rules.yaml"),
    ]
    own_groups = [group["name"] for group in loaded]
    shipped = [group for group in test["group_eval_order"] if group != "api-model-default"]
    test["group_eval_order"] = [*own_groups[:1], *shipped, *own_groups[1:], "api-model-default"]
    (own / "beside.yaml").write_text(yaml.safe_dump(test), encoding="utf-8")
    run("promtool", "test", "rules", own / "beside.yaml")


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
    objects = template("--set", f"{PROBE},{values}")
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


def test_the_chart_takes_the_rules_of_a_models_own_names(own: Path) -> None:
    values = "metrics.prometheusRule.enabled=true,model.name=credit,fullnameOverride=risk"
    rules = f"metrics.prometheusRule.rules={own / 'chart-rules.yaml'}"
    objects = template("--set", values, "--set-file", rules)
    (rule,) = [found for found in objects if found["kind"] == "PrometheusRule"]
    text = json.dumps(rule["spec"])
    assert re.search(r'credit_model_available{namespace=\\"\w+\\", job=\\"risk\\"', text)
    assert "@" not in text.replace("https://", "")
    assert "service/risk 8000:80, then http://127.0.0.1:8000/runbooks/ModelNotLoaded" in text
    assert " model_available" not in text
