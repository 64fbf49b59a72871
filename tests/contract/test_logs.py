"""One line a request, with what an operator needs and never a patient's values."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.harness import SAMPLE, Server, eventually


def last_line(server: Server, request_id: str) -> dict[str, Any]:
    (line,) = server.requests_logged(request_id)
    return line


def test_a_prediction_leaves_one_line(server: Server) -> None:
    server.post("/predict", SAMPLE, headers={"X-Request-ID": "log-1"})
    line = last_line(server, "log-1")
    assert set(line) == {
        "time", "level", "message", "request_id", "method", "route", "status", "duration_ms",
        "model", "version", "prediction", "probability", "warnings",
    }  # fmt: skip
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
    assert (line["level"], line["method"], line["route"], line["status"]) == ("info", "POST", "/predict", 200)
    assert line["prediction"] == "no_disease"
    assert 0 < line["probability"] < 0.5
    assert line["duration_ms"] > 0


def test_a_batch_leaves_one_line_with_counts(server: Server) -> None:
    server.post("/predict/batch", {"instances": [SAMPLE] * 3}, headers={"X-Request-ID": "log-2"})
    line = last_line(server, "log-2")
    assert (line["rows"], line["predictions"]) == (3, {"no_disease": 3})


def test_an_error_leaves_its_cause(server: Server) -> None:
    server.post("/predict", SAMPLE | {"age": 17, "chol": "high"}, headers={"X-Request-ID": "log-3"})
    line = last_line(server, "log-3")
    assert (line["status"], line["error"], line["cause"]) == (422, "ValidationError", "invalid: age, chol")
    assert line["level"] == "info"


def test_probes_and_scrapes_are_debug(server: Server) -> None:
    for path in ("/livez", "/readyz", "/startupz", "/metrics"):
        server.get(path, headers={"X-Request-ID": f"log{path}"})
        assert last_line(server, f"log{path}")["level"] == "debug"


def test_patient_values_and_clients_own_words_never_reach_the_log(start: Callable[..., Server]) -> None:
    server = start(LOG_LEVEL="debug")
    secret = 4711.125
    json_type = {"Content-Type": "application/json"}
    server.post("/predict", SAMPLE | {"oldpeak": 7.0625})
    server.post("/predict", SAMPLE | {"age": secret})
    server.post("/predict", SAMPLE | {"age": "patient-4711"})
    server.post("/predict", SAMPLE | {"patient-4711": 1})
    server.post("/predict/batch", {"instances": [SAMPLE | {"patient-4711": secret}]})
    server.post("/predict", data=b'{"age": 4711.125', headers=json_type)
    server.get("/patients/patient-4711?age=4711.125")
    server.get("/models/patient-4711")
    server.get("/health", headers={"X-Request-ID": "the end"[:3]})
    server.requests_logged("the")
    text = "\n".join(server.lines)
    assert "4711" not in text
    assert "7.0625" not in text
    assert text.count('"error":"ValidationError"') == 4


@pytest.mark.parametrize(
    "sane", ["abc-123", "a" * 128, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"]
)
def test_a_sane_request_id_is_kept(server: Server, sane: str) -> None:
    assert server.get("/health", headers={"X-Request-ID": sane}).headers["x-request-id"] == sane


@pytest.mark.parametrize("strange", ["", "a" * 129, "a b", 'a"b', "a\tb", "ä", "<script>"])
def test_a_strange_request_id_is_replaced(server: Server, strange: str) -> None:
    given = server.get("/health", headers={"X-Request-ID": strange.encode("latin-1")}).headers["x-request-id"]
    assert re.fullmatch(r"[0-9a-f]{32}", given)


def test_every_line_is_one_json_object(server: Server) -> None:
    server.get("/health")
    for line in list(server.lines):
        assert {"time", "level", "message"} <= set(json.loads(line))


def test_text_for_people(start: Callable[..., Server]) -> None:
    server = start(LOG_FORMAT="text")
    server.post("/predict", SAMPLE)
    pattern = r"\d\d:\d\d:\d\d\.\d{3} info +request .*route=/predict status=200 .*prediction=no_disease .*"
    eventually(lambda: [line for line in server.lines if re.fullmatch(pattern, line)], "a readable line")


def test_errors_only(start: Callable[..., Server]) -> None:
    server = start(LOG_LEVEL="error", FAULT_ERROR_RATE="1")
    server.get("/health")
    server.post("/predict", SAMPLE)
    eventually(lambda: server.lines, "the error's line")
    assert [json.loads(line)["status"] for line in server.lines] == [500]
