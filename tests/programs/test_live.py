"""The live page's values of two replicas are what their Prometheus itself answers."""

import asyncio
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import requests

from bench.prometheus import Prometheus
from monitoring.panels.panel import Kind, Panel
from monitoring.panels.scope import HOUR
from serving.console.live.chosen import Served, chosen_labels, panels_of, scope_of
from serving.console.live.prometheus import RATE, PrometheusSource
from serving.console.live.readings import Live, Reading
from serving.console.live.shaping import filled
from serving.inference.catalogue import ServedModel
from serving.settings import Settings
from tests.harness import PROJECT, SAMPLE, Server, eventually
from tests.unit.test_live_prometheus import target_of

LABELS = 'namespace="mlops", job="heart"'
LINES = ("total-api-requests", "request-duration-of-predictions", "prediction-latency")


Lines = list[tuple[str, dict[float, float]]]


def own_answer(url: str, panel: Panel, reading: Reading) -> Lines:
    """Return what Prometheus answers to each query of a panel alone."""
    lines: Lines = []
    for query in panel.queries:
        asked = {"query": str(query.expression), "start": reading.begin, "end": reading.end, "step": 5}
        answer = requests.get(f"{url}/api/v1/query_range?{urlencode(asked)}", timeout=10).json()
        for found in answer["data"]["result"]:
            points = {at: float(value) for at, value in found["values"]}
            name = filled(query.legend, found["metric"]) or panel.title
            lines.append((name, {at: value for at, value in points.items() if math.isfinite(value)}))
    return lines


def until_last(lines: Lines, last: float) -> Lines:
    """Return the lines without their last moment, for which a scrape may still arrive."""
    cut = [(name, {at: value for at, value in points.items() if at < last}) for name, points in lines]
    return sorted((line for line in cut if line[1]), key=lambda line: line[0])


def readings_of(live: Live) -> dict[str, Reading]:
    return {reading.panel.key: reading for part in live.sections for reading in part.readings}


def configuration(servers: list[Server]) -> dict[str, Any]:
    targets = [
        {
            "targets": [f"127.0.0.1:{server.port}"],
            "labels": {"namespace": "mlops", "pod": f"pod-{place}", "app": "heart-disease-api"},
        }
        for place, server in enumerate(servers)
    ]
    return {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(PROJECT / "monitoring" / "rules" / "drift.yaml")],
        "scrape_configs": [{"job_name": "heart", "static_configs": targets}],
    }


@pytest.fixture
def replicas() -> Iterator[list[Server]]:
    servers = [Server({"MODEL": "heart-disease"}).wait_until_ready() for _ in range(2)]
    yield servers
    for server in servers:
        server.stop()


def test_drawn_values_are_prometheus_own_answer(
    heart: ServedModel, replicas: list[Server], tmp_path: Path
) -> None:
    served = Served(heart.declaration, tries_candidate=False, takes_outcomes=False)
    target = target_of(heart)
    with Prometheus(tmp_path, configuration(replicas)) as prometheus:
        settings = Settings(prometheus_url=prometheus.url, prometheus_labels=LABELS).prometheus
        assert settings

        def drawn() -> dict[str, Reading] | None:
            for server in replicas:
                assert server.post("/predict", json=SAMPLE).status_code == 200
            live = asyncio.run(PrometheusSource(settings, served).read(target, 15, None))
            assert live.problem is None
            readings = readings_of(live)
            both = len(readings["active-requests"].lines) == 2
            lines = [readings[key].lines for key in LINES]
            return readings if both and all(line and len(line[0].points) > 2 for line in lines) else None

        readings = eventually(drawn, "both pods are drawn")
        assert readings
        scope = scope_of(chosen_labels(target, None), settings.matchers, RATE, 15, HOUR)
        compared = 0
        for _, panels in panels_of(served, target.declaration, scope):
            for panel in (panel for panel in panels if panel.kind is Kind.LINES):
                reading = readings[panel.key]
                expected = until_last(own_answer(prometheus.url, panel, reading), reading.end)
                lines = [(line.name, dict(line.points)) for line in reading.lines]
                assert until_last(lines, reading.end) == expected, panel.title
                compared += len(expected)
        assert compared > 10
        assert readings["model-status"].lines[0].points[0][1] == 1
        assert readings["success-rate"].lines[0].points[0][1] == 1
