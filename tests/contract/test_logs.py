"""One line a request, with what an operator needs and never a patient's values."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.harness import Server, eventually
from tests.systems import System


def last_line(server: Server, request_id: str) -> dict[str, Any]:
    (line,) = server.requests_logged(request_id)
    return line


def test_a_prediction_leaves_one_line(server: Server, system: System) -> None:
    answer = server.post("/predict", system.sample, headers={"X-Request-ID": "log-1"}).json()
    line = last_line(server, "log-1")
    assert set(line) == {
        "time", "level", "message", "request_id", "method", "route", "status", "duration_ms",
        "model", "version", "prediction", "probability", "warnings",
    }  # fmt: skip
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
    assert (line["level"], line["method"], line["route"], line["status"]) == ("info", "POST", "/predict", 200)
    assert (line["model"], line["version"]) == (system.name, system.version)
    assert line["prediction"] == answer["label"]
    assert line["probability"] == answer.get("probability", answer["confidence"])
    assert line["duration_ms"] > 0


def test_a_batch_leaves_one_line_with_counts(server: Server, system: System) -> None:
    batch = {"instances": [system.sample] * 3}
    answer = server.post("/predict/batch", batch, headers={"X-Request-ID": "log-2"}).json()
    line = last_line(server, "log-2")
    assert (line["rows"], line["predictions"]) == (3, {answer["predictions"][0]["label"]: 3})


def test_an_error_is_logged_with_its_cause(server: Server, system: System) -> None:
    first, second = sorted(system.declaration.feature_names)[:2]
    server.post("/predict", system.sample | {first: [], second: "x"}, headers={"X-Request-ID": "log-3"})
    line = last_line(server, "log-3")
    assert (line["status"], line["error"]) == (422, "ValidationError")
    assert line["cause"] == f"invalid: {first}, {second}"
    assert line["level"] == "info"


def test_probes_and_scrapes_are_debug(server: Server) -> None:
    for path in ("/livez", "/readyz", "/startupz", "/metrics"):
        server.get(path, headers={"X-Request-ID": f"log{path}"})
        assert last_line(server, f"log{path}")["level"] == "debug"


def test_values_and_client_text_never_reach_the_log(start: Callable[..., Server], system: System) -> None:
    server = start(LOG_LEVEL="debug")
    sample, name = system.sample, system.number.name
    low, high = system.number.accepted
    fractions = [f.name for f in system.declaration.features if f.type == "number"]
    json_type = {"Content-Type": "application/json"}
    server.post("/predict", sample | {(fractions or [name])[0]: 0.7890625})
    server.post("/predict", sample | {name: high + 4711.125})
    server.post("/predict", sample | {name: "customer-4711"})
    server.post("/predict", sample | {"customer-4711": 1})
    server.post("/predict/batch", {"instances": [sample | {"customer-4711": low - 4711.125}]})
    server.post("/predict", data=f'{{"{name}": 4711.125'.encode(), headers=json_type)
    server.get("/customers/customer-4711?age=4711.125")
    server.get("/models/customer-4711")
    server.get("/health", headers={"X-Request-ID": "the-end"})
    server.requests_logged("the-end")
    text = "\n".join(server.lines)
    for sent in ("customer-4711", "4711.125", str(high + 4711.125), str(low - 4711.125), "7890625"):
        assert sent not in text
    assert text.count('"error":"ValidationError"') == (4 if fractions else 5)


@pytest.mark.parametrize(
    "sane", ["abc-123", "a" * 128, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"]
)
def test_a_valid_request_id_is_kept(server: Server, sane: str) -> None:
    assert server.get("/health", headers={"X-Request-ID": sane}).headers["x-request-id"] == sane


@pytest.mark.parametrize("strange", ["", "a" * 129, "a b", 'a"b', "a\tb", "ä", "<script>"])
def test_an_invalid_request_id_is_replaced(server: Server, strange: str) -> None:
    given = server.get("/health", headers={"X-Request-ID": strange.encode("latin-1")}).headers["x-request-id"]
    assert re.fullmatch(r"[0-9a-f]{32}", given)


def test_every_line_is_one_json_object(server: Server) -> None:
    server.get("/health")
    for line in list(server.lines):
        assert {"time", "level", "message"} <= set(json.loads(line))


def test_the_text_format_is_readable(start: Callable[..., Server], system: System) -> None:
    server = start(LOG_FORMAT="text")
    label = server.post("/predict", system.sample).json()["label"]
    pattern = rf"\d\d:\d\d:\d\d\.\d{{3}} info +request .*route=/predict status=200 .*prediction={label} .*"
    eventually(lambda: [line for line in server.lines if re.fullmatch(pattern, line)], "a readable line")


def test_the_level_error_logs_errors_only(start: Callable[..., Server], system: System) -> None:
    server = start(LOG_LEVEL="error", FAULT_ERROR_RATE="1")
    server.get("/health")
    server.post("/predict", system.sample)
    eventually(lambda: server.lines, "the error's line")
    assert [json.loads(line)["status"] for line in server.lines] == [500]
