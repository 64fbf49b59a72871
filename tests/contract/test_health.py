"""Three probes, one page for people, and a model that breaks while it serves."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness import Server, eventually, problem
from tests.systems import System

HEALTH = {"iris": {"model_accuracy": 0.956}}


def test_a_healthy_server(server: Server, system: System) -> None:
    assert server.get("/health").json() == {
        "status": "healthy",
        "model_loaded": True,
        **HEALTH.get(system.name, {}),
        "model": {"name": system.name, "version": system.version},
    }
    answers = {path: server.get(path).json()["status"] for path in ("/livez", "/readyz", "/startupz")}
    assert answers == {"/livez": "alive", "/readyz": "ready", "/startupz": "started"}


@pytest.mark.engines
@pytest.mark.parametrize("noticed_by", ["a request", "the probe"])
def test_a_failing_model_becomes_unavailable_and_recovers(
    start: Callable[..., Server], system: System, tmp_path: Path, noticed_by: str
) -> None:
    broken = tmp_path / "broken"
    probe_seconds = "0.2" if noticed_by == "the probe" else "2"
    server = start(FAULT_ENGINE_FILE=str(broken), PROBE_SECONDS=probe_seconds)
    assert server.post("/predict", system.sample).status_code == 200

    broken.touch()
    if noticed_by == "a request":
        problem(server.post("/predict", system.sample), 503, "ModelNotLoaded")
    else:
        eventually(lambda: not server.is_ready(), "the probe notices")
        problem(server.post("/predict", system.sample), 503, "ModelNotLoaded")
    assert server.shows(0, "model_loaded", version=system.version)
    problem(server.get("/readyz"), 503, "NotReady")
    health = server.get("/health")
    assert (health.status_code, health.json()["status"], health.json()["model_loaded"]) == (
        503,
        "unhealthy",
        False,
    )
    assert server.get("/livez").status_code == 200
    assert server.shows(1, "errors", error_type="ModelNotLoaded", endpoint="/predict")

    broken.unlink()
    eventually(server.is_ready, "the model recovers")
    assert server.shows(1, "model_loaded", version=system.version)
    assert server.post("/predict", system.sample).status_code == 200
    version = f'"version":"{system.version}"'
    messages = [line for line in server.lines if '"message":"model ' in line and version in line]
    assert ["unavailable" in message for message in messages] == [False, True, False]
