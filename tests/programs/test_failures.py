"""What clients feel is what metrics and alerts say: failures made on real servers, seen by a real Prometheus.

Each failure is a release of its own, with the chart's rules for it; all of them happen at the same time.
"""

import re
import sys
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.prometheus import Prometheus
from bundle.concepts import LATENCY_BUCKETS
from monitoring.alerting.__main__ import CHARTS_RULES, RULES
from monitoring.panels.names import Names
from monitoring.panels.objectives import PREDICTIONS
from tests.harness import Server, eventually
from tests.programs.failures import ALL_RELEASES, FAILURES, PAGE, Failure, page_with_table
from tests.programs.stage import Stage
from tests.programs.test_chart import template
from tests.systems import System

ABOUT_ROWS = re.compile("Feature|PredictionMixShift|PredictionConfidenceCollapse")
"""Alerts on what rows hold: clients here send the same row again and again."""

TIMED = [name for name in ("one pod of two is slow", "batches queue") if name in FAILURES]
QUANTILES = (0.5, 0.9, 0.95, 0.99)

Measured = Callable[[str, object], None]


def release(name: str) -> str:
    return re.sub("[^a-zA-Z0-9]+", "-", name)


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Stage]]:
    with ExitStack() as running:
        found = {}
        for name, failure in FAILURES.items():
            folder = tmp_path_factory.mktemp(release(name))
            servers = [start(failure, settings, folder) for settings in failure.servers]
            found[name] = Stage(servers, System(failure.model), folder)
            running.callback(found[name].stop)
            for server in servers:  # before others start: all at once would be late on a busy machine
                server.wait_until_ready()
            found[name].announce(labels(name), failure.scrapes)
        yield found


def start(failure: Failure, settings: Mapping[str, str], folder: Path) -> Server:
    own = {name: value.format(folder=folder) for name, value in settings.items()}
    command = (
        ["nice", "-n", "10", sys.executable, "api_server.py"] if failure.felt.startswith("waits") else None
    )
    return Server({"MODEL": failure.model, "LOG_LEVEL": "error"} | own, command)


def labels(name: str) -> dict[str, str]:
    """Return the labels of a release's targets before relabelling."""
    if not FAILURES[name].service_monitor:
        return {"app": "heart-disease-api", "namespace": "test"}
    operators = {"service": release(name), "container": "heart-disease-api", "endpoint": "http"}
    return {"namespace": "test", "job": release(name)} | operators


def scrape_config(name: str, stage: Stage) -> dict[str, Any]:
    config = {
        "job_name": release(name),
        "file_sd_configs": [{"files": [str(stage.targets)]}],
        "honor_labels": False,
    }
    if FAILURES[name].service_monitor:
        config["relabel_configs"] = relabelings()
    return config


def relabelings() -> list[dict[str, str]]:
    """Return those of the chart's ServiceMonitor, as the Operator passes them on."""
    objects = template("--set", "metrics.serviceMonitor.enabled=true")
    (monitor,) = [found for found in objects if found["kind"] == "ServiceMonitor"]
    snake = {"targetLabel": "target_label", "sourceLabels": "source_labels"}
    return [
        {snake.get(key, key): value for key, value in rule.items()}
        for rule in monitor["spec"]["endpoints"][0]["relabelings"]
    ]


def write_rules(folder: Path, name: str) -> None:
    text = (CHARTS_RULES / f"{FAILURES[name].model}.yaml").read_text(encoding="utf-8")
    text = text.replace("@namespace@", "test").replace("@job@", release(name))
    (folder / f"{release(name)}.rules.yaml").write_text(text, encoding="utf-8")


def prometheus_of(stages: Mapping[str, Stage], folder: Path, *, rules: str) -> Prometheus:
    for name in stages:
        write_rules(folder, name)
    config = {
        "global": {"scrape_interval": "5s", "evaluation_interval": "5s"},
        "rule_files": [rules],
        "scrape_configs": [scrape_config(name, stage) for name, stage in stages.items()],
    }
    return Prometheus(folder, config)


@pytest.fixture(scope="module")
def observed(
    stages: dict[str, Stage], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Stage]]:
    """Start each Prometheus, and return the stages that they observe."""
    with ExitStack() as running:
        for called in dict.fromkeys(FAILURES[name].prometheus for name in stages):
            own = {name: stage for name, stage in stages.items() if FAILURES[name].prometheus == called}
            folder = tmp_path_factory.mktemp("prometheus")
            rules = f"{RULES}/*.yaml" if called == ALL_RELEASES else f"{folder}/*.rules.yaml"
            prometheus = running.enter_context(prometheus_of(own, folder, rules=rules))
            for stage in own.values():
                stage.prometheus = prometheus
        yield stages


@pytest.fixture(scope="module")
def begun(observed: dict[str, Stage]) -> Iterator[dict[str, float]]:
    """Make all failures happen, and return when each began."""
    for name, stage in observed.items():
        scraped = f'count(count_over_time(up{{job="{release(name)}"}}[1m]) >= 2) == {len(stage.servers)}'
        eventually(
            lambda prometheus=stage.prometheus, scraped=scraped: prometheus.query(scraped),  # type: ignore[misc]
            f"{name}: all are scraped twice",
            120,
        )
    at = {}
    for name, stage in observed.items():
        at[name] = time.time()
        FAILURES[name].play(stage)
    yield at
    for stage in observed.values():
        stage.finish()


def firing_since(stage: Stage, name: str) -> dict[str, float]:
    """Return the alerts of a release, and when each was first seen firing."""
    series = f'ALERTS{{alertstate="firing", job="{release(name)}"}}'
    found = stage.prometheus.query(f"min by (alertname) (min_over_time(timestamp({series})[30m:5s]))")
    return {labels["alertname"]: at for labels, at in found if not ABOUT_ROWS.match(labels["alertname"])}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_is_seen_in_time_by_its_alerts_alone(
    observed: dict[str, Stage], begun: dict[str, float], name: str, record_property: Measured
) -> None:
    failure, stage = FAILURES[name], observed[name]
    last = max(failure.alerts.values(), default=failure.quiet)
    eventually(lambda: time.time() - begun[name] > last, f"{name}: time for its alerts", last + 60)
    after = {alert: at - begun[name] for alert, at in firing_since(stage, name).items()}
    measured = ", ".join(f"{alert} after {seconds:.0f} s" for alert, seconds in sorted(after.items()))
    record_property("measured", f"{name}: {measured or 'nobody'}")
    assert failure.alerts.keys() <= after.keys() <= failure.alerts.keys() | failure.meanwhile
    assert not {alert: after[alert] for alert, most in failure.alerts.items() if after[alert] > most}


@pytest.mark.parametrize("name", TIMED)
def test_latencies_are_those_of_clients(
    observed: dict[str, Stage], begun: dict[str, float], name: str, record_property: Measured
) -> None:
    """Each quantile within one bucket of what the clients measured at the same time."""
    stage = observed[name]
    eventually(lambda: time.time() - begun[name] > 60, "a minute of predictions", 90)
    at = time.time()
    felt = [answer.seconds for answer in list(stage.answers) if answer.at <= at and answer.status < 400]
    buckets = Names(stage.system.declaration).series(
        "request_duration", PREDICTIONS, f'job="{release(name)}"', suffix="_bucket"
    )
    increase = f"sum by (le) (increase({buckets}[{at - begun[name]:.0f}s]))"
    for quantile in QUANTILES:
        clients = float(np.quantile(felt, quantile))
        ((_, metrics),) = stage.prometheus.query(f"histogram_quantile({quantile}, {increase})", at)
        record_property("measured", f"{name}: p{quantile * 100:g} {clients:.4f} s (metrics: {metrics:.4f} s)")
        assert abs(bisect_left(LATENCY_BUCKETS, clients) - bisect_left(LATENCY_BUCKETS, metrics)) <= 1


@pytest.mark.parametrize("name", [name for name, failure in FAILURES.items() if not failure.ends])
def test_every_response_is_counted_once(
    observed: dict[str, Stage], begun: dict[str, float], name: str
) -> None:
    """As the clients counted; processes that ended have taken their counts along."""
    assert begun
    stage = observed[name]
    stage.finish()
    named = stage.system.declaration.metrics["requests"]
    label = {dimension: label for label, dimension in named.labels.items()}
    counted: Counter[tuple[str, int]] = Counter()
    for server in stage.servers:
        for (series, labels), value in server.metrics().items():
            found = dict(labels)
            if series == named.name and value and "/predict" in found[label["endpoint"]]:
                counted[found[label["endpoint"]], int(found[label["status"]])] += int(value)
    assert counted == stage.statuses


def test_the_page_has_the_table() -> None:
    assert PAGE.read_text(encoding="utf-8") == page_with_table()
