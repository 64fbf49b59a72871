"""What clients feel is what metrics and alerts say: failures made on real servers, seen by a real Prometheus.

Each failure is a release of its own, with the chart's rules for it; all of them happen at the same time.
"""

import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from bench.prometheus import Prometheus
from monitoring.alerting.__main__ import CHARTS_RULES
from tests.harness import Server, eventually
from tests.programs.failures import FAILURES, PAGE, Failure, Stage, page_with_table
from tests.systems import System

ABOUT_ROWS = re.compile("Feature|PredictionMixShift|PredictionConfidenceCollapse")
"""Alerts on what rows hold: clients here send the same row again and again."""


def release(name: str) -> str:
    return name.replace(" ", "-").replace(",", "").replace("'", "")


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Stage]]:
    with ExitStack() as running:
        found = {}
        for name, failure in FAILURES.items():
            folder = tmp_path_factory.mktemp(release(name))
            servers = [start(failure, settings, folder) for settings in failure.servers]
            end = threading.Event()
            found[name] = Stage(servers, System(failure.model), folder, end)
            running.callback(stop, found[name])
        for stage in found.values():
            for server in stage.servers:
                server.wait_until_ready()
        yield found


def start(failure: Failure, settings: Mapping[str, str], folder: Path) -> Server:
    own = {name: value.format(folder=folder) for name, value in settings.items()}
    command = (
        ["nice", "-n", "10", sys.executable, "api_server.py"] if failure.felt.startswith("waits") else None
    )
    return Server({"MODEL": failure.model, "LOG_LEVEL": "error"} | own, command)


def stop(stage: Stage) -> None:
    stage.end.set()
    for client in stage.clients:
        client.join(90)
    for server in stage.servers:
        server.stop()


@pytest.fixture(scope="module")
def prometheus(stages: dict[str, Stage], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    folder = tmp_path_factory.mktemp("prometheus")
    for name, failure in FAILURES.items():
        text = (CHARTS_RULES / f"{failure.model}.yaml").read_text(encoding="utf-8")
        text = text.replace("@namespace@", "test").replace("@job@", release(name))
        (folder / f"{release(name)}.rules.yaml").write_text(text, encoding="utf-8")
    jobs = [
        {
            "job_name": release(name),
            "static_configs": [
                {
                    "targets": [f"127.0.0.1:{server.port}"],
                    "labels": {"app": "heart-disease-api", "namespace": "test", "pod": f"pod-{place}"},
                }
                for place, server in enumerate(stage.servers)
            ],
        }
        for name, stage in stages.items()
    ]
    config = {
        "global": {"scrape_interval": "5s", "evaluation_interval": "5s"},
        "rule_files": [f"{folder}/*.rules.yaml"],
        "scrape_configs": jobs,
    }
    with Prometheus(folder, config) as running:
        yield running


@pytest.fixture(scope="module")
def begun(prometheus: Prometheus, stages: dict[str, Stage]) -> float:
    """Make all failures happen, and return when."""
    targets = sum(len(stage.servers) for stage in stages.values())
    eventually(
        lambda: prometheus.query(f"count(count_over_time(up[1m]) >= 2) == {targets}"),
        "all are scraped twice",
        120,
    )
    at = time.time()
    for name, stage in stages.items():
        FAILURES[name].play(stage)
    return at


def firing_since(prometheus: Prometheus, name: str) -> dict[str, float]:
    """Return the alerts of a release, and when each was first seen firing."""
    series = f'ALERTS{{alertstate="firing", job="{release(name)}"}}'
    found = prometheus.query(f"min by (alertname) (min_over_time(timestamp({series})[15m:5s]))")
    return {labels["alertname"]: at for labels, at in found if not ABOUT_ROWS.match(labels["alertname"])}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_is_seen_in_time_by_its_alerts_alone(
    prometheus: Prometheus, begun: float, name: str
) -> None:
    failure = FAILURES[name]

    def seen() -> bool:
        return failure.alerts.keys() <= firing_since(prometheus, name).keys()

    last = max(failure.alerts.values(), default=60)
    eventually(lambda: seen() and time.time() - begun > last, name, last + 120)
    found = firing_since(prometheus, name)
    assert found.keys() <= failure.alerts.keys() | failure.meanwhile
    late = {
        alert: found[alert] - begun for alert, most in failure.alerts.items() if found[alert] - begun > most
    }
    assert not late


@pytest.mark.parametrize(
    "name", [name for name in FAILURES if not name.startswith(("pods", "workers", "all pods"))]
)
def test_every_response_is_counted_once(
    prometheus: Prometheus, begun: float, stages: dict[str, Stage], name: str
) -> None:
    """As the clients counted; processes that ended have taken their counts along."""
    stage = stages[name]
    stage.end.set()
    for client in stage.clients:
        client.join(90)
    requests = "api_requests_total" if stage.system.name == "heart-disease" else "http_requests_total"
    status = "status_code" if stage.system.name == "heart-disease" else "status"
    counted: Counter[tuple[str, int]] = Counter()
    for server in stage.servers:
        for (series, labels), value in server.metrics().items():
            found = dict(labels)
            if series == requests and value and "/predict" in found["endpoint"]:
                counted[found["endpoint"], int(found[status])] += int(value)
    assert counted == stage.statuses


def test_the_page_has_the_table() -> None:
    assert PAGE.read_text(encoding="utf-8") == page_with_table()
