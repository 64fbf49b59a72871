"""Grafana's dashboards: the committed files are what the code writes, and their layout is readable."""

import itertools
import json
import re
from typing import Any

import pytest
import yaml

from monitoring.dashboards.__main__ import CLUSTER, DASHBOARDS, render
from tests.harness import PROJECT

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


def load(name: str) -> Any:
    return json.loads((PROJECT / name).read_text(encoding="utf-8"))


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
        health = ["namespace", "model", "model_version", "feature"]
        usual = health[:3] if "quality" in name else ["namespace", "pod", "model_version"]
        expected = ["model"] if "versions" in name else health if "health" in name else usual
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
