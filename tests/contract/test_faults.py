"""Injected faults are seeded, seen in log and metrics, and rejected in production."""

import time
from collections.abc import Callable

import pytest

from tests.harness import Server, problem
from tests.systems import System

pytestmark = pytest.mark.engines


def test_errors_occur_at_the_configured_rate(start: Callable[..., Server], system: System) -> None:
    def statuses(**settings: str) -> list[int]:
        server = start(FAULT_ERROR_RATE="0.3", **settings)
        return [server.post("/predict", system.sample).status_code for _ in range(100)]

    first, again, other = statuses(FAULT_SEED="1"), statuses(FAULT_SEED="1"), statuses(FAULT_SEED="2")
    assert set(first) == {200, 500}
    assert first == again
    assert first != other
    assert 15 <= first.count(500) <= 45


def test_an_injected_error_is_a_problem_document_and_is_counted(
    start: Callable[..., Server], system: System
) -> None:
    server = start(FAULT_ERROR_RATE="1")
    problem(server.post("/predict", system.sample), 500, "InternalError")
    problem(server.post("/predict/batch", {"instances": [system.sample]}), 500, "InternalError")
    assert server.get("/health").status_code == 200
    assert server.shows(2, "errors", error_type="InternalError")
    assert server.shows(2, "model_errors")
    assert server.shows(0, "predictions", outcome="success")
    assert not system.counts_failures or server.shows(2, "predictions", result="error", outcome="error")


def test_simulated_errors_are_counted_and_answered(start: Callable[..., Server], system: System) -> None:
    server = start(FAULT_SIMULATED_ERROR_RATE="1")
    assert {server.post("/predict", system.sample).status_code for _ in range(5)} == {200}
    assert server.shows(5, "errors", error_type="InternalError", endpoint="/predict")
    assert server.shows(5, "model_errors")
    assert server.shows(5, "requests", endpoint="/predict", status="200"), "objectives count no failure"
    assert server.shows(0, "requests", endpoint="/predict", status="500")
    assert server.shows(5, "model_requests")
    assert server.shows(5, "predictions", outcome="success")


def test_latency_is_added(start: Callable[..., Server], system: System) -> None:
    server = start(FAULT_LATENCY_SECONDS="0.3")
    begin = time.perf_counter()
    server.post("/predict", system.sample)
    assert time.perf_counter() - begin >= 0.3
    assert server.shows(1, "request_duration", "_count", endpoint="/predict")
    assert server.shows(0, "request_duration", "_bucket", endpoint="/predict", le="0.25")


def test_faults_appear_in_the_startup_log_and_in_a_gauge(
    start: Callable[..., Server], system: System
) -> None:
    server = start(FAULT_ERROR_RATE="0.25")
    assert server.metric("fault_injection", fault="error_rate") == 0.25
    started = next(line for line in server.lines if '"message":"started"' in line)
    assert '"faults":{"error_rate":0.25}' in started
