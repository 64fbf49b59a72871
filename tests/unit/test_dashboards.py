"""Grafana's dashboards: the committed files are what the code writes, and their layout is readable."""

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from bundle.concepts import CONCEPTS
from bundle.declaration import load_declaration
from bundle.metric_names import DEFAULT_METRICS
from monitoring.dashboards.__main__ import CLUSTER, DASHBOARDS, render
from monitoring.panels import objectives
from tests.harness import PROJECT
from tests.systems import MODELS
from tests.systems import PAGES as VOCABULARIES

CURRENT_TYPES = {"barchart", "timeseries", "stat", "gauge", "heatmap", "piechart", "alertlist"}
PAGES = {
    "monitoring/grafana-dashboard.json": {
        "Total API Requests", "Request Duration p95", "Predictions by Result",
        "Prediction Confidence Distribution", "Active Requests", "Error Rate", "Model Status",
        "Prediction Latency", "Total Predictions", "Total Errors", "Success Rate",
    },
    "compose/iris/dashboards/iris.json": {
        "Total Predictions", "Predictions per Minute", "Model Accuracy", "Latency", "Error Rate",
        "Requests by Endpoint", "Prediction Rate by Class",
    },
    "compose/churn/dashboards/churn.json": {
        "API Status", "Total Predictions", "Error Rate (2m)", "P95 Latency", "Memory Usage", "CPU Usage",
        "Request Rate by Model Version", "Prediction Latency Percentiles", "Predictions by Result",
        "Predictions by Status", "Active Alerts",
    },
}  # fmt: skip
PAGES["monitoring/grafana-model.json"] = PAGES["monitoring/grafana-dashboard.json"]


VERSIONED = {
    f"{named.name}{suffix}"
    for name in VOCABULARIES
    for concept in CONCEPTS
    if (named := concept.name_in(load_declaration(MODELS / name))) and "version" in named.labels.values()
    for suffix in ("", "_bucket")
} | {
    f"{named.name}{suffix}"
    for named in DEFAULT_METRICS.values()
    if "version" in named.labels.values()
    for suffix in ("", "_bucket")
}
"""Metrics that have a series for each version of a model."""


def load(name: str) -> Any:
    return json.loads((PROJECT / name).read_text(encoding="utf-8"))


def expressions(panel: dict[str, Any]) -> list[str]:
    return [target["expr"] for target in panel.get("targets", [])]


def aggregations(expression: str) -> Iterator[tuple[str, set[str], str]]:
    """Return operator, labels and argument of each aggregation."""
    for found in re.finditer(r"\b(sum|min|max|avg)(?: by \(([^)]*)\) )?\(", expression):
        depth, end = 1, found.end()
        while depth:
            depth += {"(": 1, ")": -1}.get(expression[end], 0)
            end += 1
        yield found[1], set((found[2] or "").split(", ")), expression[found.end() : end - 1]


EACH = pytest.mark.parametrize("name", DASHBOARDS)


def test_the_committed_files_are_what_the_code_writes() -> None:
    written = render()
    assert {name: (PROJECT / name).read_text(encoding="utf-8") for name in written} == written


@pytest.mark.parametrize("name", PAGES)
def test_the_page_has_its_panels(name: str) -> None:
    assert {panel["title"] for panel in load(name)["panels"]} >= PAGES[name]


def test_dashboards_have_their_documented_titles() -> None:
    iris, churn = (load(f"compose/{name}/dashboards/{name}.json") for name in ("iris", "churn"))
    assert iris["title"] == "ML API Dashboard"
    assert (churn["title"], churn["uid"]) == ("ML API Monitoring Dashboard", "ml-api-monitoring")
    assert churn["refresh"] == "5s"


@EACH
def test_panels_do_not_overlap_and_have_unique_titles(name: str) -> None:
    panels = load(name)["panels"]
    titles = [panel["title"] for panel in panels]
    assert len(set(titles)) == len(titles)
    for first, second in itertools.combinations((panel["gridPos"] for panel in panels), 2):
        apart_x = first["x"] + first["w"] <= second["x"] or second["x"] + second["w"] <= first["x"]
        apart_y = first["y"] + first["h"] <= second["y"] or second["y"] + second["h"] <= first["y"]
        assert apart_x or apart_y
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels)


@EACH
def test_panels_say_what_they_show(name: str) -> None:
    for panel in load(name)["panels"]:
        assert panel["type"] in CURRENT_TYPES
        assert len(panel["description"]) > 20, panel["title"]
        assert panel["type"] in {"heatmap", "alertlist"} or panel["fieldConfig"]["defaults"]["unit"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "prometheus"}
        for runbook in re.findall(r"monitoring/runbooks/\w+\.md", panel["description"]):
            assert (PROJECT / runbook).is_file()


@EACH
def test_rates_follow_the_scrape_interval(name: str) -> None:
    for panel in (panel for panel in load(name)["panels"] if panel["type"] in {"timeseries", "heatmap"}):
        for target in panel["targets"]:
            assert not re.search(r"rate\([^)]*\[\d", target["expr"].replace("ratio_rate", "")), target["expr"]


def test_dashboards_have_unique_ids_and_show_alerts() -> None:
    boards = {name: load(name) for name in DASHBOARDS}
    for grafana in {name.rpartition("/")[0] for name in boards}:
        group = [board for name, board in boards.items() if name.startswith(grafana)]
        assert (
            len({board["uid"] for board in group}) == len({board["title"] for board in group}) == len(group)
        )
    for board in boards.values():
        assert "ALERTS" in board["annotations"]["list"][0]["expr"]
    for name in CLUSTER:
        variables = [variable["name"] for variable in load(name)["templating"]["list"]]
        releases, model = ["namespace", "job"], ["model", "model_version", "feature"]
        chosen = {"versions": model[:1], "health": model, "quality": model[:2]}
        chosen["model"] = ["pod", *model[:2]]
        board = name.removeprefix("monitoring/grafana-").removesuffix(".json")
        expected = releases + chosen.get(board, ["pod", "model_version"])
        assert variables == expected


def test_one_feature_is_chosen_and_bars_are_side_by_side() -> None:
    board = load("monitoring/grafana-health.json")
    feature = next(variable for variable in board["templating"]["list"] if variable["name"] == "feature")
    assert not feature.get("multi")
    assert not feature.get("includeAll")
    bars = [panel for panel in board["panels"] if panel["type"] == "barchart"]
    assert len(bars) == 2
    for panel in bars:
        assert panel["options"]["xField"] == "bin"
        assert all(target["instant"] and target["format"] == "table" for target in panel["targets"])
        merge, organize = panel["transformations"]
        assert merge["id"] == "merge"
        values = {f"Value #{target['refId']}" for target in panel["targets"]}
        assert set(organize["options"]["renameByName"]) == values


def test_panels_use_the_provisioned_data_source() -> None:
    file = PROJECT / "monitoring" / "grafana-provisioning" / "datasources.yaml"
    sources = yaml.safe_load(file.read_text(encoding="utf-8"))["datasources"]
    (prometheus,) = [source for source in sources if source["type"] == "prometheus"]
    assert prometheus["uid"] == "prometheus"
    assert prometheus["jsonData"]["manageAlerts"] is True


@EACH
def test_no_panel_mixes_what_cannot_be_added_of_two_versions(name: str) -> None:
    """Counts may be added, and the worst state of all is a state; the rest is shown by version."""
    for panel in load(name)["panels"]:
        for expression in expressions(panel):
            quantile = expression.startswith("histogram_quantile")
            for operator, labels, argument in aggregations(expression):
                names = set(re.findall(r"[a-zA-Z_:][\w:]*", argument))
                versioned = names & VERSIONED or any(series.startswith("job:feature") for series in names)
                if versioned and (operator in {"max", "avg"} or quantile):
                    assert labels & {"model_version", "version"}, (panel["title"], expression)


def test_one_model_is_chosen() -> None:
    for name in CLUSTER:
        for variable in load(name)["templating"]["list"]:
            if variable["name"] == "model":
                assert not variable.get("multi")
                assert not variable.get("includeAll")


def test_bars_of_two_versions_are_apart_and_legends_tell_their_queries() -> None:
    bars = [panel for name in DASHBOARDS for panel in load(name)["panels"] if panel["type"] == "barchart"]
    assert len(bars) == 3
    for panel in bars:
        assert panel["options"]["legend"]["showLegend"]
        for expression in expressions(panel):
            assert re.fullmatch(
                r'label_join\(max by \(model_version, bin\) \(.*\), "bin", " ", "model_version", "bin"\)',
                expression,
            )


@EACH
def test_every_legend_is_shown(name: str) -> None:
    for panel in load(name)["panels"]:
        if panel["type"] in {"barchart", "timeseries", "piechart"}:
            assert panel["options"]["legend"]["showLegend"], panel["title"]


@EACH
def test_figures_have_thresholds_or_one_neutral_colour(name: str) -> None:
    """Without any, Grafana's default turns a figure red from 80 up."""
    for panel in load(name)["panels"]:
        if panel["type"] in {"stat", "gauge"}:
            steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
            assert steps[0]["value"] is None
            colours = [step["color"] for step in steps]
            assert colours == ["text"] or {"red", "green"} <= set(colours), panel["title"]


@EACH
def test_what_is_dead_looks_neither_healthy_nor_idle(name: str) -> None:
    """0 in place of no data is red, or has data only while something answers; so has a rate on a dial."""
    for panel in load(name)["panels"]:
        steps = panel.get("fieldConfig", {}).get("defaults", {}).get("thresholds", {}).get("steps", [])
        for expression in expressions(panel):
            asks_whether_up = re.search(r"\) and on \(\) max\(up\{.*\}\) == 1$", expression)
            if "vector(0)" in expression and not asks_whether_up:
                assert panel["type"] == "stat", panel["title"]
                assert steps[0]["color"] == "red", panel["title"]
            if panel["type"] == "gauge" and re.search(r"\b(rate|increase)\(", expression):
                assert asks_whether_up, panel["title"]


def test_the_text_says_as_many_bins_of_the_score_as_there_are() -> None:
    panels = load("monitoring/grafana-versions.json")["panels"]
    (scores,) = [panel for panel in panels if panel["title"] == "Scores"]
    bundles = [json.loads(file.read_text(encoding="utf-8")) for file in MODELS.glob("*/v*/bundle.json")]
    assert {len(bundle["score"]["shares"]) for bundle in bundles} == {5}
    assert "the five bins of the score" in scores["description"]


def test_objectives_are_those_of_the_rules() -> None:
    rules = yaml.safe_load((PROJECT / "monitoring/rules/heart-disease-api.yaml").read_text(encoding="utf-8"))
    recorded = {rule.get("record") for group in rules["groups"] for rule in group["rules"]}
    board = load("monitoring/grafana-objectives.json")
    panels = {panel["title"]: expressions(panel) for panel in board["panels"]}
    read = set(re.findall(r"job:[\w:]+", " ".join(itertools.chain.from_iterable(panels.values()))))
    assert read <= recorded
    assert "job:api:available" in read
    for title, objective in (("Errors", objectives.ERRORS), ("Slow answers", objectives.LATENCY)):
        (left,) = panels[f"{title}: budget left"]
        assert left == f'min(job:{objective.series}:budget_left{{namespace=~"$namespace", job=~"$job"}})'
        burns = panels[f"{title}: burn rate"]
        assert [re.search(r"ratio(\w+)", burn)[1] for burn in burns] == ["1h", "6h", "1d", "3d"]  # type: ignore[index]
        assert all(burn.endswith(f" / {objective.allowed}") for burn in burns)


def test_candidates_and_queues_have_their_panels() -> None:
    api, versions = (
        {panel["title"]: panel for panel in load(f"monitoring/grafana-{name}.json")["panels"]}
        for name in ("dashboard", "versions")
    )
    queue, lag = (api[title] for title in ("Queue Time", "Event Loop Lag"))
    assert [target["legendFormat"] for target in queue["targets"]] == ["{{pod}} p50", "{{pod}} p90"]
    assert [target["legendFormat"] for target in lag["targets"]] == ["{{pod}} p99"]
    assert all("request_queue_seconds_bucket" in expression for expression in expressions(queue))
    assert all("event_loop_lag_seconds_bucket" in expression for expression in expressions(lag))
    for title, metric in (("Canary", "candidate_loaded"), ("Shadow", "shadow_up")):
        assert metric in expressions(versions[title])[0]
        assert "CandidateNotLoaded.md" in versions[title]["description"]


@pytest.mark.parametrize("name", ["dashboard", "model"])
def test_what_clients_hold_is_beside_its_limit_and_what_is_shed_beside_all(name: str) -> None:
    panels = {panel["title"]: panel for panel in load(f"monitoring/grafana-{name}.json")["panels"]}
    opened, limit = expressions(panels["Connections"])
    assert "open_connections" in opened
    assert "connections_limit" in limit
    (closed,) = expressions(panels["Connections Closed Early"])
    assert closed.startswith("sum by (reason) (rate(connections_closed_total")
    shed, every = expressions(panels["Requests Shed"])
    assert '="429"' in shed
    assert "429" not in every
    for title in ("Connections", "Connections Closed Early"):
        assert "ApiConnectionsExhausted.md" in panels[title]["description"]
