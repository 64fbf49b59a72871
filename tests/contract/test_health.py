"""Three probes, one page for people, and a model that breaks while it serves."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness import SAMPLE, Server, eventually, problem


def test_a_healthy_server(server: Server) -> None:
    assert server.get("/health").json() == {
        "status": "healthy",
        "model_loaded": True,
        "model": {"name": "heart-disease", "version": "v1"},
    }
    answers = {path: server.get(path).json()["status"] for path in ("/livez", "/readyz", "/startupz")}
    assert answers == {"/livez": "alive", "/readyz": "ready", "/startupz": "started"}


@pytest.mark.parametrize("noticed_by", ["a request", "the probe"])
def test_a_model_that_breaks_is_set_aside_and_comes_back(
    start: Callable[..., Server], tmp_path: Path, noticed_by: str
) -> None:
    broken = tmp_path / "broken"
    probe_seconds = "0.2" if noticed_by == "the probe" else "2"
    server = start(FAULT_ENGINE_FILE=str(broken), PROBE_SECONDS=probe_seconds)
    assert server.post("/predict", SAMPLE).status_code == 200

    broken.touch()
    if noticed_by == "a request":
        problem(server.post("/predict", SAMPLE), 503, "ModelNotLoaded")
    else:
        eventually(lambda: server.metric("model_loaded") == 0, "the probe notices")
        problem(server.post("/predict", SAMPLE), 503, "ModelNotLoaded")
    assert server.metric("model_loaded") == 0
    problem(server.get("/readyz"), 503, "NotReady")
    health = server.get("/health")
    assert (health.status_code, health.json()["status"], health.json()["model_loaded"]) == (
        503,
        "unhealthy",
        False,
    )
    assert server.get("/livez").status_code == 200
    assert server.metric("api_errors_total", error_type="ModelNotLoaded", endpoint="/predict") == 1

    broken.unlink()
    eventually(server.is_ready, "the model is taken back")
    assert server.metric("model_loaded") == 1
    assert server.post("/predict", SAMPLE).status_code == 200
    messages = [line for line in server.lines if "model set aside" in line or "model usable" in line]
    assert ["set aside" in message for message in messages] == [False, True, False]
