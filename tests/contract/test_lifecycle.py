"""Starting, stopping under load, several workers, and bundles that must not start."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import requests

from tests.harness import HEART, PROJECT, SAMPLE, Load, Server, clean_environment, eventually, free_port
from tests.systems import System

pytestmark = pytest.mark.engines


def test_sigterm_under_load_fails_no_request(start: Callable[..., Server], system: System) -> None:
    server = start(DRAIN_SECONDS="4")
    with Load(server.url, clients=8, row=system.sample) as load:
        eventually(lambda: load.answered > 200, "the load runs")
        begin = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: server.get("/readyz").status_code == 503, "readiness turns")
        noticed = load.answered
        assert server.get("/livez").status_code == 200
        assert server.get("/livez").headers["connection"] == "close"
        eventually(lambda: load.answered > noticed + 100, "answers go on")
        load.finish()
    assert server.wait() == 0
    assert time.monotonic() - begin < 4
    assert load.failures == []


@pytest.mark.heart
def test_sigterm_waits_for_an_in_flight_request(start: Callable[..., Server]) -> None:
    server = start(DRAIN_SECONDS="4", FAULT_LATENCY_SECONDS="3")
    answers: list[int] = []
    client = threading.Thread(target=lambda: answers.append(server.post("/predict", SAMPLE).status_code))
    client.start()
    eventually(lambda: server.metric("active_requests") == 1, "the request has begun")
    server.process.send_signal(signal.SIGTERM)
    assert server.wait() == 0
    client.join(10)
    assert answers == [200]


@pytest.mark.parametrize("settings", [{}, {"WORKERS": "2"}], ids=["one process", "two workers"])
@pytest.mark.parametrize(
    "signals", [[signal.SIGINT], [signal.SIGTERM, signal.SIGTERM], [signal.SIGTERM, signal.SIGINT]]
)
def test_ctrl_c_and_a_second_sigterm_do_not_wait(
    start: Callable[..., Server], signals: list[signal.Signals], settings: dict[str, str]
) -> None:
    server = start(DRAIN_SECONDS="60", **settings)
    server.process.send_signal(signals[0])
    for number in signals[1:]:
        eventually(lambda: server.get("/readyz").status_code == 503, "the first is noticed")
        server.process.send_signal(number)
    assert server.process.wait(10) == 0


def test_uvicorn_serves_the_same_application(start: Callable[..., Server], system: System) -> None:
    server = start(command=[sys.executable, "-m", "uvicorn", "api_server:app", "--port", "{port}"])
    row, label = system.answers[0]
    assert server.post("/predict", row).json()["label"] == label
    assert [line for line in server.lines if "Uvicorn running on" in line]
    server.stop()
    for line in server.lines:
        json.loads(line)


# ---- several workers ----


def workers(server: Server) -> list[psutil.Process]:
    found = []
    for child in psutil.Process(server.process.pid).children():
        with suppress(psutil.ZombieProcess, psutil.NoSuchProcess):  # a worker that has just died
            if "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
    return found


@pytest.fixture
def pair(start: Callable[..., Server]) -> Server:
    server = start(WORKERS="2", DRAIN_SECONDS="4", PROBE_SECONDS="0.3")
    eventually(lambda: sum("listening" in line for line in server.lines) == 2, "both workers listen")
    return server


def predict(server: Server, system: System, times: int) -> None:
    """Predict over as many connections, so that both workers take part."""
    for _ in range(times):
        assert server.post("/predict", system.sample).status_code == 200


def shows_what_both_did(server: Server, system: System, predictions: int) -> bool:
    return all(
        (
            server.shows(predictions, "predictions", outcome="success"),
            server.shows(predictions, "model_requests"),
            server.shows(1, "model_info"),
            server.shows(1, "app_info"),
            server.shows(1, "model_loaded", version=system.version),
            server.shows(0, "active_requests"),
        )
    )


def test_any_worker_gives_the_one_correct_answer(pair: Server, system: System) -> None:
    predict(pair, system, 60)
    for _ in range(10):
        assert shows_what_both_did(pair, system, 60)
        assert pair.shows(60, "requests", endpoint="/predict", status="200")
    assert not [labels for _, labels in pair.metrics() if "pid" in dict(labels)]


def test_a_killed_worker_is_replaced_and_its_counts_stay(pair: Server, system: System) -> None:
    predict(pair, system, 40)
    victim, survivor = workers(pair)
    os.kill(victim.pid, signal.SIGKILL)
    eventually(lambda: len(workers(pair)) == 2 and victim not in workers(pair), "another takes its place")
    assert survivor in workers(pair)
    eventually(lambda: sum("listening" in line for line in pair.lines) == 3, "it listens")
    predict(pair, system, 20)
    for _ in range(10):
        assert shows_what_both_did(pair, system, 60)


def test_a_replacement_that_cannot_start_does_not_stop_the_others(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    server = start(WORKERS="2", PROBE_SECONDS="3600", FAULT_ENGINE_FILE=str(broken))
    eventually(lambda: sum("listening" in line for line in server.lines) == 2, "both workers listen")
    broken.touch()
    os.kill(workers(server)[0].pid, signal.SIGKILL)
    refusals = "does not give the answers that training recorded"
    eventually(lambda: sum(refusals in line for line in server.lines) >= 2, "the replacement is retried")
    assert server.get("/livez").status_code == 200
    broken.unlink()
    eventually(lambda: sum("listening" in line for line in server.lines) == 3, "a replacement listens")
    assert server.stop() == 0


def test_the_empty_file_of_a_starting_worker_breaks_no_scrape(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    server = start(WORKERS="2", TMPDIR=str(tmp_path))
    (folder,) = tmp_path.iterdir()
    (folder / "counter_1.db").touch()
    assert server.get("/metrics").status_code == 200


@pytest.mark.heart
def test_a_worker_that_dies_in_a_request_leaves_no_active_request(start: Callable[..., Server]) -> None:
    server = start(WORKERS="2", FAULT_LATENCY_SECONDS="30")
    clients = [threading.Thread(target=post_and_forget, args=(server,)) for _ in range(8)]
    for client in clients:
        client.start()
    eventually(lambda: server.metric("active_requests") == 8, "all requests are active")
    for victim in workers(server):
        os.kill(victim.pid, signal.SIGKILL)
        eventually(lambda: server.is_ready() and not victim.is_running(), "the server answers")  # noqa: B023
    eventually(lambda: server.metric("active_requests") == 0, "nothing is active")
    for client in clients:
        client.join(10)


def post_and_forget(server: Server) -> None:
    try:
        server.post("/predict", SAMPLE)
    except requests.RequestException:
        return


def test_a_model_is_not_loaded_if_one_worker_lacks_it(
    start: Callable[..., Server], system: System, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    server = start(WORKERS="2", PROBE_SECONDS="3600", FAULT_ENGINE_FILE=str(broken))
    eventually(lambda: sum("listening" in line for line in server.lines) == 2, "both workers listen")
    assert server.shows(1, "model_loaded", version=system.version)
    broken.touch()
    assert server.post("/predict", system.sample).status_code == 503
    for _ in range(10):
        assert server.shows(0, "model_loaded", version=system.version)


def test_workers_drain_on_sigterm(pair: Server, system: System) -> None:
    with Load(pair.url, clients=4, row=system.sample) as load:
        eventually(lambda: load.answered > 100, "the load runs")
        pair.process.send_signal(signal.SIGTERM)
        eventually(lambda: pair.get("/readyz").status_code == 503, "readiness turns")
        load.finish()
    assert pair.wait() == 0
    assert load.failures == []


def test_workers_do_not_outlive_their_supervisor(pair: Server) -> None:
    orphans = workers(pair)
    pair.process.kill()
    psutil.wait_procs(orphans, timeout=15)
    assert not [orphan for orphan in orphans if orphan.is_running()]


def test_a_folder_for_workers_left_in_the_environment_is_not_used(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    server = start(PROMETHEUS_MULTIPROC_DIR=str(tmp_path))
    assert server.metric("process_start_time_seconds") > 0
    assert not list(tmp_path.iterdir())


def test_workers_leave_no_folder_behind(start: Callable[..., Server], tmp_path: Path) -> None:
    server = start(WORKERS="2", TMPDIR=str(tmp_path))
    assert [file.name.partition("-")[0] for file in tmp_path.iterdir()] == ["workers"]
    assert server.stop() == 0
    assert not list(tmp_path.iterdir())


@pytest.mark.heart
def test_onnx_runtime_sends_no_telemetry(start: Callable[..., Server], tmp_path: Path) -> None:
    """Its telemetry would leave a session file in the temporary folder."""
    server = start(MODEL="fraud", TMPDIR=str(tmp_path))
    assert server.post("/predict", System("fraud").sample).status_code == 200
    assert not list(tmp_path.iterdir())


# ---- startups that fail ----


def refused_start(*arguments: str, **settings: str) -> tuple[int, str]:
    result = subprocess.run(
        [sys.executable, *(arguments or ["api_server.py"])],
        cwd=PROJECT, env=clean_environment(**({"PORT": str(free_port())} | settings)),
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    return result.returncode, result.stderr.strip()


def broken_models(tmp_path: Path) -> str:
    models = Path(shutil.copytree(HEART.parent, tmp_path / "models"))
    (models / "heart-disease" / "v1" / "model.onnx").write_bytes(b"broken")
    return str(models)


@pytest.mark.parametrize("arguments", [["api_server.py"], ["-m", "uvicorn", "api_server:app"]])
def test_a_broken_bundle_stops_startup_with_a_sentence(tmp_path: Path, arguments: list[str]) -> None:
    code, said = refused_start(*arguments, MODELS_DIR=broken_models(tmp_path))
    assert code == 1
    assert said.startswith("error: ")
    assert "v1/model.onnx is not the file that bundle.json describes" in said
    assert "\n" not in said


def test_a_broken_bundle_stops_workers_too(tmp_path: Path) -> None:
    code, said = refused_start(WORKERS="2", MODELS_DIR=broken_models(tmp_path))
    assert code == 1
    assert {line.startswith("error: ") for line in said.splitlines()} == {True}
    assert "model.onnx" in said


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"PORT": "high"}, "error: PORT: Input should be a valid integer"),
        ({"MODEL": "nope"}, "models/nope/model.toml is missing"),
        ({"MODEL_VERSION": "v9"}, "has these versions: v1"),
        ({"ENVIRONMENT": "production", "FAULT_ERROR_RATE": "1"}, "rejected with ENVIRONMENT=production"),
        ({"HOST": "192.0.2.1"}, "cannot listen on 192.0.2.1"),
    ],
)
def test_invalid_settings_stop_startup_with_a_sentence(settings: dict[str, str], sentence: str) -> None:
    code, said = refused_start(**settings)
    assert code == 1
    assert sentence in said
    assert "Traceback" not in said


@pytest.mark.heart
def test_a_port_in_use_is_reported(server: Server) -> None:
    code, said = refused_start(PORT=str(server.port))
    assert (code, "Address already in use" in said, "set HOST and PORT" in said) == (1, True, True)


BLOCKED_BY_A_SIGNAL = """
import runpy, signal, time
signal.signal(signal.SIGUSR1, lambda *_: time.sleep(5))
runpy.run_path("api_server.py", run_name="__main__")
"""


@pytest.mark.heart
def test_a_blocked_event_loop_fails_its_probes_and_recovers(start: Callable[..., Server]) -> None:
    """A thread that answers for the event loop would be no probe."""
    server = start([sys.executable, "-c", BLOCKED_BY_A_SIGNAL])
    server.process.send_signal(signal.SIGUSR1)
    for probe in ("/livez", "/readyz"):
        with pytest.raises(requests.Timeout):
            requests.get(server.url + probe, timeout=1)
    assert eventually(lambda: server.get("/livez").status_code == 200, "it recovers")
