"""The chart's dashboards, as Grafana's sidecar finds them: for any release, and any data source."""

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from bench.prometheus import Prometheus
from tests.harness import CHART, Server, eventually, run
from tests.programs.test_chart import rendered
from tests.programs.test_chart_values import ci, of_kind, written
from tests.programs.test_failures import relabelings
from tests.systems import ANSWERS

MODELS = sorted(file.stem for file in (CHART / "files" / "dashboards" / "api").glob("*.json"))
LIVE = {"namespace": "mlops", "job": "risk", "service": "risk", "pod": "risk-1", "endpoint": "http"}
"""The labels of a target of the ServiceMonitor of a release that is called risk."""

SECRET_BYTES = 1024 * 1024
"""Most bytes of a Secret and of a ConfigMap."""


def objects(*options: str) -> list[dict[str, Any]]:
    named = ["--namespace", "mlops", "--set", "fullnameOverride=risk"]
    text = run("helm", "template", "ward", CHART, *named, *options).stdout
    return [found for found in yaml.safe_load_all(text) if found]


def config_maps(*options: str) -> list[dict[str, Any]]:
    return [
        found
        for found in objects(*options)
        if found["kind"] == "ConfigMap" and "grafana_dashboard" in found["metadata"]["labels"]
    ]


def boards_of(*options: str) -> dict[str, dict[str, Any]]:
    """Return dashboards by the names of their files."""
    maps = config_maps(*options)
    return {name: json.loads(text) for found in maps for name, text in found["data"].items()}


def resolved(expression: str) -> str:
    """Return an expression as Grafana asks it at first: for the release, all pods and all versions."""
    found = expression.replace("$namespace", "mlops").replace("$job", "risk")
    found = found.replace("$__rate_interval", "1m").replace("$__range", "1h")
    found = re.sub(r'=~?"\$(?:pod|model|model_version|version|feature)"', '=~".*"', found)
    assert "$" not in found, found
    return found


def queries(board: dict[str, Any]) -> dict[str, list[str]]:
    """Return a board's expressions by the titles of panels."""
    panels = [panel for panel in board["panels"] if panel.get("targets")]
    return {panel["title"]: [resolved(target["expr"]) for target in panel["targets"]] for panel in panels}


ON = [
    "--set",
    "dashboards.enabled=true,metrics.prometheusRule.enabled=true,metrics.serviceMonitor.enabled=true",
]


def test_the_sidecar_finds_them_where_it_looks() -> None:
    maps = config_maps(*ci("dashboards"), "--set", "dashboards.namespace=monitoring")
    assert len(maps) == 5
    for found in maps:
        metadata = found["metadata"]
        assert metadata["namespace"] == "monitoring"
        assert metadata["labels"]["grafana_dashboard"] == "1"
        assert metadata["annotations"]["grafana_folder"] == "Predictions"
        assert metadata["name"].startswith("mlops-risk-")
        assert len(json.dumps(found)) < SECRET_BYTES / 4
    assert config_maps() == []
    own = config_maps(*ON, "--set", "dashboards.labels.mine=yes")
    assert {(found["metadata"]["namespace"], found["metadata"]["labels"]["mine"]) for found in own} == {
        ("mlops", "yes")
    }


def test_boards_of_what_is_off_are_left_out(tmp_path: Path) -> None:
    def names(**values: Any) -> set[str]:
        return {name.rpartition("-")[0] for name in boards_of(*ON, *written(tmp_path, **values))}

    usual = {"api", "health", "objectives"}
    assert names() == usual
    assert names(candidate={"version": "v2", "saltSecret": "salt"}) == usual | {"versions"}
    outcomes = {"enabled": True, "databaseSecret": "db", "keysSecret": "keys", "anonymous": True}
    assert names(feedback=outcomes) == usual | {"quality"}


def test_two_releases_have_boards_of_their_own() -> None:
    def of(name: str) -> list[tuple[str, str, str]]:
        maps = config_maps(*ci("dashboards"), "--set", f"fullnameOverride={name}")
        found = [(each["metadata"]["name"], json.loads(*each["data"].values())) for each in maps]
        return [(name, board["uid"], board["title"]) for name, board in found]

    first, second = (list(zip(*of(name), strict=True)) for name in ("risk", "readmission"))
    for columns in (first, second):
        assert [len(set(column)) for column in columns] == [5, 5, 5]
        assert all(len(uid) <= 40 for uid in columns[1])  # Grafana allows no more
    assert not {text for column in first for text in column} & {text for column in second for text in column}


@pytest.mark.parametrize("model", MODELS)
def test_boards_have_no_data_source_of_ours_and_expressions_that_prometheus_reads(
    model: str, tmp_path: Path
) -> None:
    boards = boards_of(*ci("dashboards"), "--set", f"model.name={model}")
    rules: list[dict[str, str]] = []
    for board in boards.values():
        assert "@" not in re.sub(r'"(?:description|refresh)": "[^"]*"', "", json.dumps(board))
        sources = re.findall(r'"type": "prometheus", "uid": "([^"]*)"', json.dumps(board))
        assert set(sources) == {"${datasource}"}
        first, *others = board["templating"]["list"]
        assert (first["type"], first["query"], first["name"]) == ("datasource", "prometheus", "datasource")
        current = {each["name"]: each["current"]["value"] for each in others if "current" in each}
        assert current == {"namespace": ["mlops"], "job": ["risk"]}
        (annotation,) = board["annotations"]["list"]
        expressions = [expression for found in queries(board).values() for expression in found]
        for expression in [*expressions, resolved(annotation["expr"])]:
            assert 'namespace=~"mlops"' in expression
            rules.append({"record": f"found:{len(rules)}", "expr": expression})
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "boards", "rules": rules}]}), encoding="utf-8")
    run("promtool", "check", "rules", file)


@pytest.mark.parametrize("model", ["churn", "fraud", "heart-disease"])
def test_a_release_of_another_name_fills_its_boards(model: str, tmp_path: Path) -> None:
    """Scraped and recorded as by the ServiceMonitor and the PrometheusRule of the same release."""
    found = objects(*ON, "--set", f"model.name={model}")
    rules = tmp_path / "rules.yaml"
    groups = of_kind(found, "PrometheusRule")["spec"]["groups"]
    rules.write_text(
        json.dumps({"groups": [group | {"interval": "1s"} for group in groups]}), encoding="utf-8"
    )
    server = Server({"MODEL": model}).wait_until_ready()
    target = {"targets": [server.url.removeprefix("http://")], "labels": LIVE}
    scrape = {"job_name": "risk", "static_configs": [target], "relabel_configs": relabelings()}
    intervals = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config = {"global": intervals, "rule_files": [str(rules)], "scrape_configs": [scrape]}
    with Prometheus(tmp_path, config) as prometheus:

        def empty_panels(board: dict[str, Any]) -> list[str]:
            send_rows(server, model)
            found = queries(board).items()
            return [title for title, asked in found if not any(map(prometheus.query, asked))]

        for board in boards_of(*ON, "--set", f"model.name={model}").values():
            eventually(lambda board=board: not empty_panels(board), f"{board['title']} has data")  # type: ignore[misc]
            for variable in board["templating"]["list"][1:]:
                asked = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"])
                assert asked
                series = prometheus.query(resolved(asked[1]))
                assert {labels.get(asked[2]) for labels, _ in series} - {None}, variable["query"]
    server.stop()


def send_rows(server: Server, model: str) -> None:
    """Send rows that are answered, enough to judge drift; some out of their range, and some rejected."""
    rows = [row for row, _ in ANSWERS[model]]
    assert server.post("/predict", json=rows[0]).status_code == 200
    assert server.post("/predict/batch", json={"instances": rows * 200}).status_code == 200
    name = next(iter(rows[0]))
    assert server.post("/predict", json=rows[0] | {name: "none"}).status_code == 422


def test_a_release_with_all_boards_fits_a_secret(tmp_path: Path) -> None:
    """Helm keeps the chart's files and the manifests of a release in one: JSON, gzipped, in Base64 twice."""
    files = {
        str(file): base64.b64encode(file.read_bytes()).decode() for file in CHART.rglob("*") if file.is_file()
    }
    release = json.dumps({"chart": files, "manifest": rendered(*ci("dashboards"))}).encode()
    assert len(base64.b64encode(base64.b64encode(gzip.compress(release)))) < SECRET_BYTES / 2
