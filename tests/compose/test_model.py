"""`make up MODEL=...` serves and monitors a model that none of the stacks is made for."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.compose.conftest import Stack
from tests.contract.test_own_model import ROW, declare
from tests.harness import PROJECT, eventually, run
from training.build import build


@pytest.fixture(scope="module")
def plants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("models")
    build(declare(folder, "plants"), None, None, say=lambda _: None)
    stack = Stack("model")
    stack.environment |= {"MODEL": "plants", "MODELS_DIR": str(folder)}
    try:
        run("compose/up.sh", "model", "api", "prometheus", "alertmanager", settings=stack.environment)
        yield stack
    finally:
        stack.compose("down", "--volumes")


def test_its_predictions_reach_prometheus_by_the_default_names(plants: Stack) -> None:
    for _ in range(3):
        assert requests.post(f"{plants.url}/predict", json=ROW, timeout=5).json()["label"] == "setosa"
    counted = 'sum(model_predictions_total{model="plants", result="setosa"})'
    eventually(lambda: plants.query(counted) and plants.value(counted) == 3, "all are counted", 60)
    eventually(lambda: len(plants.query("up == 1")) == 3, "all targets are up", 60)


def test_its_rules_are_evaluated_without_an_error(plants: Stack) -> None:
    answer = requests.get(f"{plants.prometheus}/api/v1/rules", timeout=5).json()
    rules = [rule for group in answer["data"]["groups"] for rule in group["rules"]]
    assert {"ModelNotLoaded", "PredictionErrorsFastBurn", "PredictionMixShift", "FeatureDrift"} <= {
        rule["name"] for rule in rules
    }
    eventually(lambda: not [rule for rule in rules if rule["health"] == "err"], "no rule fails")


def test_an_alert_links_to_its_runbook(plants: Stack) -> None:
    def watchdog() -> dict[str, Any] | None:
        alerts = requests.get(f"{plants.alertmanager}/api/v2/alerts", timeout=5).json()
        return next((alert for alert in alerts if alert["labels"]["alertname"] == "Watchdog"), None)

    alert = eventually(watchdog, "the Watchdog is sent", 60)
    assert alert
    assert set(alert["labels"]) == {"alertname", "severity"}
    assert alert["annotations"]["runbook_url"] == f"{plants.url}/runbooks/Watchdog"
    assert requests.get(alert["annotations"]["runbook_url"], timeout=5).status_code == 200


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("", "name a folder of models/, such as MODEL=iris"),
        ("../iris", "name a folder of models/, such as MODEL=iris"),
        ("nowhere", "models/nowhere has no model.toml; make new MODEL=nowhere drafts one"),
    ],
)
def test_a_model_that_cannot_be_served_is_a_sentence(model: str, sentence: str) -> None:
    said = run("compose/up.sh", "model", check=False, settings={"MODEL": model})
    assert (said.returncode, said.stderr) == (1, f"error: {sentence}\n")
    assert not (PROJECT / "models" / "nowhere").exists()
