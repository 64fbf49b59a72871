"""Drift as a real Prometheus sees it: the index is numpy's, alerts are rarely wrong, and name what moved."""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from bench.drift import RESULTS, RULES, measure, stability_index
from bench.prometheus import Prometheus
from bundle.bins import all_bins
from bundle.distributions import CategoryDistribution
from bundle.encoding import Encoder
from tests.harness import Server, eventually
from tests.systems import PAGES, System

ROWS = 700
NAMES = list(PAGES)


def moved_rows(system: System) -> list[dict[str, Any]]:
    """Return rows that fill every bin of every feature, the later ones more often than in training."""
    random = np.random.default_rng(0)
    columns: dict[str, list[Any]] = {}
    for feature in system.declaration.features:
        distribution = system.manifest.distribution[feature.name]
        if isinstance(distribution, CategoryDistribution):
            kinds: list[Any] = [[name] for name in distribution.shares]
        else:
            cuts = [distribution.minimum, *distribution.edges, distribution.maximum]
            kinds = [list(np.linspace(low, high, 9)[1:]) for low, high in pairwise(cuts)]
            if feature.type == "integer":
                kinds = [[round(value) for value in kind] for kind in kinds]
        kinds += [[None]] if feature.nullable else []
        weights = np.arange(2, len(kinds) + 2)
        chosen = random.choice(len(kinds), ROWS, p=weights / weights.sum())
        columns[feature.name] = [kinds[kind][random.integers(len(kinds[kind]))] for kind in chosen]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Prometheus, dict[str, list[Server]]]]:
    """Two servers of each system, as two pods of one job; Prometheus evaluates the rules every second."""
    folder = tmp_path_factory.mktemp("prometheus")
    rules = yaml.safe_load(RULES.read_text(encoding="utf-8"))
    for group in rules["groups"]:
        group["interval"] = "1s"
    (folder / "drift.yaml").write_text(yaml.safe_dump(rules), encoding="utf-8")
    with ExitStack() as running:
        servers: dict[str, list[Server]] = {name: [] for name in NAMES}
        for name in NAMES * 2:
            servers[name].append(Server({"MODEL": name, "LOG_LEVEL": "error"}))
            running.callback(servers[name][-1].stop)
        for server in chain.from_iterable(servers.values()):
            server.wait_until_ready()
        jobs = [
            {
                "job_name": name,
                "static_configs": [{"targets": [f"127.0.0.1:{server.port}" for server in servers[name]]}],
            }
            for name in NAMES
        ]
        config = {
            "global": {"scrape_interval": "1s"},
            "rule_files": [f"{folder}/drift.yaml"],
            "scrape_configs": jobs,
        }
        yield running.enter_context(Prometheus(folder, config)), servers


def test_the_index_of_two_pods_is_numpys_for_every_feature_of_every_model(
    watched: tuple[Prometheus, dict[str, list[Server]]],
) -> None:
    prometheus, servers = watched
    every = {name: System(name) for name in NAMES}
    sent = {name: moved_rows(system) for name, system in every.items()}
    # counters must be seen at 0 before they rise
    up = "count(count_over_time(feature_reference_rows[1m]) >= 2)"
    versions = 2 * sum(len(system.declaration.versions) for system in every.values())
    eventually(
        lambda: prometheus.query(up) and prometheus.query(up)[0][1] == versions, "all are scraped twice"
    )
    scores: dict[str, list[float]] = {}
    for name, system in every.items():
        half = ROWS // 3
        for server, rows in zip(servers[name], (sent[name][:half], sent[name][half:]), strict=True):
            answer = server.post("/predict/batch", {"instances": rows})
            assert answer.status_code == 200, answer.text
            field = "probability" if system.declaration.binary else "confidence"
            scores.setdefault(name, []).extend(
                prediction[field] for prediction in answer.json()["predictions"]
            )

    def recorded(name: str) -> dict[str, float]:
        chosen = f'{{model="{name}", model_version="{every[name].version}"}}'
        rows = prometheus.query(f"job:feature_rows:increase1h{chosen} > {ROWS - 1}")
        if len(rows) < len(every[name].declaration.features) + 1:
            return {}
        return {labels["feature"]: value for labels, value in prometheus.query(f"job:feature:psi1h{chosen}")}

    for name, system in every.items():
        manifest = system.manifest
        matrix = Encoder(system.declaration).encode(sent[name])
        bins = all_bins(system.declaration.features, manifest.distribution, manifest.score)
        columns = (*matrix.T, np.array(scores[name]))
        expected = {
            feature: stability_index(feature_bins.count(column), feature_bins.shares, manifest.data.rows)
            for (feature, feature_bins), column in zip(bins.items(), columns, strict=True)
        }
        assert max(expected.values()) > 0.05
        close = {feature: pytest.approx(value, abs=0.005) for feature, value in expected.items()}
        eventually(lambda name=name, close=close: recorded(name) == close, f"{name}: {expected}", 30)  # type: ignore[misc]


def test_alerts_are_rarely_wrong_and_name_what_moved() -> None:
    """As `make bench-drift` measures it; the result is that of the committed table."""
    churn = os.environ.get("CHURN_DATA")
    measured = measure(print, Path(churn) if churn else None)
    assert measured["largest_difference"] < 0.005
    assert measured["largest_difference_judged"] < 0.02
    for line in measured["false_alarms"]:
        assert line["windows"] == 50
        assert line["rows"].endswith("repeated") or sum(line["raised"].values()) <= 1, line
    power = {line["shift"]: line for line in measured["power"]}
    for shift in ("ages + 15", "`ca` missing in half of the rows", "`chol` in mmol/l"):
        assert power[shift]["named"] == power[shift]["windows"] == 20
    assert power["`thal` reversible defect, 38.6%, doubled"]["named"] == 20
    assert power["nothing"]["score"] == 0
    assert not [line for line in measured["power"] if line["others"]]
    committed = json.loads(RESULTS.read_text(encoding="utf-8"))
    for table in ("false_alarms", "power"):
        for line in measured[table]:
            whole = {name: value for name, value in line.items() if not isinstance(value, float)}
            assert [row for row in committed[table] if whole.items() <= row.items()], line
