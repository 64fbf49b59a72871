"""Models of tables that nobody has prepared (tests/tables.py): drift sees a planted shift, and alerts fire.

`make test-long` runs it. What a server counted goes through the shipped rules in promtool.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from bundle.features import NumberFeature
from monitoring.alerting.__main__ import CHARTS_RULES
from tests.harness import PROJECT, Server, run
from tests.systems import System
from training.data import load_recipe, load_rows
from training.table import Rows

RULES = PROJECT / "monitoring" / "rules"
SENT = 1000
BATCH = 100
COUNTED = ("feature_values_total", "feature_out_of_range_total", "feature_rejected_total")
DRIFT = {
    "rule_files": [str(RULES / "drift.yaml")],
    "evaluation_interval": "1m",
    "group_eval_order": ["drift-reference", "drift-1h", "drift-24h", "drift-alerts"],
}
ON_FEATURES = 'group by (feature) (ALERTS{alertname=~"Feature.*", alertstate="firing", feature!="score"})'


@pytest.fixture
def rows(system: System) -> Rows:
    """The rows that the model was trained on, repeated."""
    found, _, _ = load_rows(system.folder, system.declaration, load_recipe(system.folder), None)
    return [found[number % len(found)] for number in range(max(SENT, len(found)))]


@pytest.fixture
def shifted(system: System, rows: Rows) -> tuple[str, Rows]:
    """The number with the most values, and rows in which it is 1.5 standard deviations higher."""
    numbers = [f for f in system.declaration.features if isinstance(f, NumberFeature)]
    chosen = max(numbers, key=lambda feature: len({row[feature.name] for row in rows}))
    known = [value for row in rows if isinstance(value := row[chosen.name], int | float)]
    added = 1.5 * float(np.std(known))
    added = round(added) if chosen.type == "integer" else added

    def moved(row: dict[str, Any]) -> dict[str, Any]:
        value = row[chosen.name]
        return row | {chosen.name: None if value is None else value + added}

    return chosen.name, [moved(dict(row)) for row in rows]


def promtool(test: dict[str, Any], folder: Path) -> None:
    (folder / "test.yaml").write_text(yaml.safe_dump(test), encoding="utf-8")
    run("promtool", "test", "rules", folder / "test.yaml")


def check_drift(server: Server, rows: Rows, features: list[str], folder: Path) -> None:
    """Send rows, as if within an hour; alerts on these features fire, and on no others."""
    for first in range(0, len(rows), BATCH):
        answer = server.post("/predict/batch", {"instances": rows[first : first + BATCH]})
        assert answer.status_code == 200, answer.text
    series = [
        {
            "series": f'{name}{{namespace="mlops", job="api", {selector(labels)}}}',
            "values": f"0+{value / 60}x60" if name in COUNTED else f"{value}x60",
        }
        for (name, labels), value in server.metrics().items()
        if name.startswith("feature_")
    ]
    expected = [{"labels": f'{{feature="{name}"}}', "value": 1} for name in features]
    check = {"eval_time": "1h", "expr": ON_FEATURES, "exp_samples": expected}
    test = {"name": "drift", "interval": "1m", "input_series": series, "promql_expr_test": [check]}
    promtool(DRIFT | {"tests": [test]}, folder)


def selector(labels: frozenset[tuple[str, str]]) -> str:
    quoted = {name: value.replace("\\", "\\\\").replace('"', '\\"') for name, value in labels}
    return ", ".join(f'{name}="{value}"' for name, value in sorted(quoted.items()))


def test_rows_like_those_of_training_raise_no_alert(
    start: Callable[..., Server], rows: Rows, tmp_path: Path
) -> None:
    check_drift(start(), rows, [], tmp_path)


def test_a_planted_shift_is_named(
    start: Callable[..., Server], shifted: tuple[str, Rows], tmp_path: Path
) -> None:
    name, rows = shifted
    check_drift(start(), rows, [name], tmp_path)


def test_its_alerts_fire(system: System, tmp_path: Path) -> None:
    """Those of the chart for a model without [metrics], by its name and its classes."""
    text = (RULES / "tests" / "other.yaml").read_text(encoding="utf-8")
    labels = dict(zip(("no", "yes"), system.declaration.labels, strict=False))
    text = re.sub(r'result="(no|yes)"', lambda found: f'result="{labels[found[1]]}"', text)
    text = text.replace('model="credit"', f'model="{system.name}"')
    assert system.name in text
    promtool(yaml.safe_load(text) | {"rule_files": [str(CHARTS_RULES / "other.yaml")]}, tmp_path)
