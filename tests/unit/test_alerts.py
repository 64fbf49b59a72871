"""Every alert of monitoring/rules has a runbook, and tests that it fires, resolves and stays silent."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from bundle.concepts import CONCEPTS
from bundle.declaration import load_declaration
from bundle.metric_names import DEFAULT_METRICS
from monitoring.alerting.__main__ import CHARTS_RULES, MODELS, RELEASES_URL, render
from monitoring.alerting.requests import PUBLIC_URL
from tests.harness import PROJECT

RULES = PROJECT / "monitoring" / "rules"
RUNBOOK_PARTS = ["## Meaning", "## Impact", "## Diagnosis", "## Mitigation"]
WITHOUT_END = {"Watchdog"}


def test_the_committed_rules_are_what_the_code_writes() -> None:
    written = render()
    assert {path: path.read_text(encoding="utf-8") for path in written} == written
    assert set(CHARTS_RULES.glob("*")) <= set(written)


def load(file: Path) -> Any:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def rules_of(file: Path) -> list[dict[str, Any]]:
    return [rule for group in load(file)["groups"] for rule in group["rules"]]


def own_names(*models: str) -> set[str]:
    """Return the metrics that models name, of `other` the default ones."""
    vocabularies = [
        DEFAULT_METRICS if model == "other" else load_declaration(PROJECT / "models" / model).metrics
        for model in models
    ]
    return {metric.name for metrics in vocabularies for metric in metrics.values()}


def read_by(rule: dict[str, Any], names: set[str]) -> set[tuple[str, str]]:
    """Return the rule's name with each of these metrics that it reads."""
    return {
        (rule.get("alert") or rule["record"], name)
        for name in names
        if re.search(rf"(?<![\w:]){name}(_bucket|_count|_sum)?(?![\w:])", rule["expr"])
    }


def test_the_cluster_loads_every_file_of_rules_and_no_rule_twice() -> None:
    (listed,) = [
        generated["files"]
        for generated in load(PROJECT / "monitoring" / "kustomization.yaml")["configMapGenerator"]
        if generated["name"] == "prometheus-rules"
    ]
    assert sorted(listed) == sorted(f"rules/{file.name}" for file in RULES.glob("*.yaml"))
    rules = [rule for file in RULES.glob("*.yaml") for rule in rules_of(file)]
    names = own_names(*MODELS, "other") | {concept.common for concept in CONCEPTS if concept.common}
    read = [
        found for rule in rules for found in read_by(rule, names) or {(str(rule.get("alert")), rule["expr"])}
    ]
    assert len(set(read)) == len(read), "two rules of one name read the same metric"


@pytest.mark.parametrize("model", [*MODELS, "other"])
def test_the_clusters_rules_read_what_the_charts_rules_of_a_model_read(model: str) -> None:
    own = own_names(model)
    charts = [read_by(rule, own) for rule in rules_of(CHARTS_RULES / f"{model}.yaml")]
    clusters = [read_by(rule, own) for file in RULES.glob("*.yaml") for rule in rules_of(file)]
    assert set.union(*charts)
    assert set.union(*charts) <= set.union(*clusters)


def test_a_model_without_metrics_gets_every_alert_of_the_heart_model() -> None:
    hearts, others = (
        {rule["alert"] for rule in rules_of(CHARTS_RULES / f"{name}.yaml") if "alert" in rule}
        for name in ("heart-disease", "other")
    )
    assert others == hearts


def test_the_alert_on_the_mix_of_predictions_reads_one_vocabulary() -> None:
    """Two rules on all that is recorded would notify twice, one of them without the predicted class."""
    found = [
        rule
        for file in RULES.glob("*.yaml")
        for rule in rules_of(file)
        if rule.get("alert") == "PredictionMixShift"
    ]
    labels = [re.findall(r'job:prediction_result:\w+(?:{(\w+)!=""})?', rule["expr"]) for rule in found]
    assert sorted(labels) == [["prediction_result"] * 2, ["result"] * 2]
    for rule, (label, *_) in zip(found, labels, strict=True):
        assert f"$labels.{label} " in rule["annotations"]["summary"]


ALERTS = [
    rule
    for file in sorted(RULES.glob("*.yaml"))
    for group in load(file)["groups"]
    for rule in group["rules"]
    if "alert" in rule
]
TESTS = [test for file in sorted((RULES / "tests").glob("*.yaml")) for test in load(file)["tests"]]
EACH_ALERT = pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])


@EACH_ALERT
def test_an_alert_has_tests_that_it_fires_resolves_and_stays_silent(alert: dict[str, Any]) -> None:
    def outcomes(what: str) -> list[bool]:
        named = f"{alert['alert']} {what}"
        checks = [
            check for test in TESTS if test["name"].startswith(named) for check in test["promql_expr_test"]
        ]
        assert all(f'"{alert["alert"]}"' in check["expr"] for check in checks)
        return [bool(check["exp_samples"]) for check in checks]

    if alert["alert"] in WITHOUT_END:
        assert all(outcomes("fires"))
        return
    fires = outcomes("fires and resolves")
    assert fires[0]
    assert not fires[-1]
    below = outcomes("does not fire just below")
    assert below
    assert not any(below)


@EACH_ALERT
def test_an_alert_says_what_it_means_and_what_to_do(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in {"critical", "warning", "info", "none"}
    assert {"summary", "description", "runbook_url"} == set(alert["annotations"])
    assert alert["annotations"]["runbook_url"] == f"{PUBLIC_URL}/runbooks/{alert['alert']}"
    page = (PROJECT / "monitoring" / "runbooks" / f"{alert['alert']}.md").read_text(encoding="utf-8")
    assert [line for line in page.splitlines() if line.startswith("## ")] == RUNBOOK_PARTS
    assert "```" in page.partition("## Diagnosis")[2].partition("## Mitigation")[0]


@pytest.mark.parametrize("file", sorted(CHARTS_RULES.glob("*.yaml")), ids=lambda file: file.stem)
def test_the_chart_puts_an_address_before_the_name_of_every_runbook(file: Path) -> None:
    alerts = [rule for rule in rules_of(file) if "alert" in rule]
    assert alerts
    for alert in alerts:
        assert alert["annotations"]["runbook_url"] == f"{RELEASES_URL}/runbooks/{alert['alert']}"


def test_every_runbook_has_an_alert() -> None:
    pages = {page.stem for page in (PROJECT / "monitoring" / "runbooks").glob("*.md")}
    assert pages == {alert["alert"] for alert in ALERTS}
