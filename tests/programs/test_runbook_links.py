"""From a firing alert to its page: a real Prometheus and Alertmanager, by the configuration of each stack."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from bench.prometheus import PROGRAMS, Prometheus
from tests.harness import PROJECT, Server, eventually, free_port

RULES = PROJECT / "monitoring" / "rules" / "monitoring.yaml"
CLUSTERS = PROJECT / "monitoring" / "prometheus-config.yaml"
STACKS = sorted((PROJECT / "compose").glob("*/prometheus.yml"))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    running = Server({"LOG_LEVEL": "error"}).wait_until_ready()
    yield running
    running.stop()


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[str]:
    """The host and port of an Alertmanager that is ready."""
    address = f"127.0.0.1:{free_port()}"
    command = [
        str(PROGRAMS / "alertmanager"),
        f"--config.file={PROJECT / 'compose' / 'alertmanager.yml'}",
        f"--storage.path={tmp_path / 'alertmanager'}",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
        "--log.level=error",
    ]
    process = subprocess.Popen(command)

    def ready() -> bool:
        try:
            return requests.get(f"http://{address}/-/ready", timeout=5).ok
        except requests.ConnectionError:
            return False

    try:
        eventually(ready, "Alertmanager is ready", 60)
        yield address
    finally:
        process.terminate()
        process.wait()


def sent(folder: Path, file: Path, alertmanager: str) -> dict[str, Any]:
    """Return the Watchdog as Alertmanager has it from a Prometheus with this configuration."""
    config = yaml.safe_load(file.read_text(encoding="utf-8"))
    alerting = config["alerting"] | {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]}
    settings = config["global"] | {"evaluation_interval": "1s"}
    stack = {"global": settings, "rule_files": [str(RULES)], "alerting": alerting}

    def watchdog() -> dict[str, Any] | None:
        try:
            found = requests.get(f"http://{alertmanager}/api/v2/alerts", timeout=5).json()
        except requests.ConnectionError:
            return None
        return next((alert for alert in found if alert["labels"]["alertname"] == "Watchdog"), None)

    # an alert that fires before Prometheus has read where Alertmanager is waits for this, a minute by default
    with Prometheus(folder, stack, "--rules.alert.resend-delay=2s"):
        alert = eventually(watchdog, "the Watchdog reaches Alertmanager", 60)
    assert alert
    assert set(alert["labels"]) == {"alertname", "severity"}
    return alert


@pytest.mark.parametrize("file", STACKS, ids=lambda file: file.parent.name)
def test_an_alert_of_a_stack_leads_to_its_runbook(
    file: Path, server: Server, alertmanager: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PUBLIC_URL", server.url)
    address = sent(tmp_path, file, alertmanager)["annotations"]["runbook_url"]
    assert address == f"{server.url}/runbooks/Watchdog"
    assert "<h1>Watchdog</h1>" in requests.get(address, headers={"Accept": "text/html"}, timeout=5).text


def test_an_alert_of_the_cluster_leads_to_a_port_forward(alertmanager: str, tmp_path: Path) -> None:
    address = sent(tmp_path, CLUSTERS, alertmanager)["annotations"]["runbook_url"]
    assert address == "http://127.0.0.1:8000/runbooks/Watchdog"
