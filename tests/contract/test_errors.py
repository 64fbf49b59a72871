"""Every mistake of a client gets one problem document that says what to do."""

import json
import re
import socket
import time
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bundle.features import no_boolean
from tests.harness import SAMPLE, Server, eventually, problem, raw_exchange
from tests.systems import System

JSON = {"Content-Type": "application/json"}
MOST_BYTES = 1_048_576


def test_an_unknown_path(server: Server) -> None:
    document = problem(server.get("/nothing%20here?age=63"), 404, "NotFound")
    assert document["instance"] == "/nothing%20here"


@pytest.mark.parametrize(
    "path", ["/predict/", "//predict", "/models/", "/models/unknown", "/docs/x", "/v9/predict"]
)
def test_near_misses_are_not_found(server: Server, path: str) -> None:
    problem(server.get(path), 404, "NotFound")


@pytest.mark.parametrize(
    ("method", "path", "allowed"), [("GET", "/predict", "POST"), ("DELETE", "/metrics", "GET, HEAD")]
)
def test_a_wrong_method_gets_the_allowed_one(server: Server, method: str, path: str, allowed: str) -> None:
    response = requests.request(method, server.url + path, timeout=10)
    problem(response, 405, "MethodNotAllowed")
    assert response.headers["allow"] == allowed


@pytest.mark.parametrize(
    "media_type",
    ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "x/application/json", ""],
)
def test_a_body_of_another_media_type(server: Server, system: System, media_type: str) -> None:
    response = server.post("/predict", data=json.dumps(system.sample), headers={"Content-Type": media_type})
    assert "Content-Type: application/json" in problem(response, 415, "UnsupportedMediaType")["detail"]


MALFORMED = [
    b"", b" ", b"{", b"nonsense", b'{"age": 63,}', b"\x00", b"\xff\xfe", b"\xef\xbb\xbf{}", b"9" * 5000,
    b'{"age": NaN}', b'{"age": Infinity}', b'{"age": -Infinity}', b'{"age": 063}', b"{'age': 63}",
    b"[" * 100_000, b'{"a":' * 100_000, b'{"age": "\xff"}', b'"\\ud800"', b'{"\\ud800": 1}',
]  # fmt: skip


@pytest.mark.parametrize("path", ["/predict", "/predict/batch"])
@pytest.mark.parametrize("body", MALFORMED)
def test_a_body_that_is_not_json(server: Server, path: str, body: bytes) -> None:
    problem(server.post(path, data=body, headers=JSON), 400, "MalformedBody")


@pytest.mark.parametrize("body", ["null", "true", "1", '"x"', "[]", "{}", "[[]]", "[null]", "[{}]"])
def test_json_that_is_not_a_row(server: Server, body: str) -> None:
    problem(server.post("/predict", data=body, headers=JSON), 422, "ValidationError")


@pytest.mark.parametrize(
    "value", ["true", '"63"', "[]", "{}", "1e308", "-1e308", "1e999", "-1e999", "9" * 4000, "null"]
)
def test_an_invalid_value_is_rejected(server: Server, system: System, value: str) -> None:
    name = system.number.name
    body = json.dumps(system.sample | {name: "HERE"}).replace('"HERE"', value)
    document = problem(server.post("/predict", data=body, headers=JSON), 422, "ValidationError")
    expected = system.number.expectation
    if system.number.range is None and re.match("-?[0-9]", value):
        expected += " from {:.9g} to {:.9g}".format(*system.number.accepted)
    expected += no_boolean(json.loads(value))
    assert document["errors"] == [{"field": name, "detail": f"must be {expected}"}]
    assert document["detail"] == f"'{name}' must be {expected}."


@pytest.mark.heart
@pytest.mark.parametrize("value", [63.5, 17, 121])
def test_an_impossible_value_is_rejected_with_the_range(server: Server, value: float) -> None:
    document = problem(server.post("/predict", SAMPLE | {"age": value}), 422, "ValidationError")
    assert document["detail"] == "'age' must be a whole number from 18 to 120 (years)."


def test_every_feature_says_what_it_accepts(server: Server, system: System) -> None:
    for feature in system.declaration.features:
        document = problem(
            server.post("/predict", system.sample | {feature.name: [1]}), 422, "ValidationError"
        )
        assert document["errors"] == [{"field": feature.name, "detail": f"must be {feature.expectation}"}]


def test_unknown_and_missing_fields(server: Server, system: System) -> None:
    gone = system.number.name
    row = {name: value for name, value in system.sample.items() if name != gone} | {"unheard_of": 1}
    document = problem(server.post("/predict", row), 422, "ValidationError")
    assert [(e["field"], e["detail"]) for e in document["errors"]] == [
        (gone, "is missing"),
        ("unheard_of", "is not a feature of this model"),
    ]


def test_one_bad_row_rejects_the_batch_and_is_named(start: Any, system: System) -> None:
    server = start()
    name = system.number.name
    rows = [system.sample, system.sample, system.sample | {name: "x"}]
    document = problem(server.post("/predict/batch", {"instances": rows}), 422, "ValidationError")
    assert document["detail"] == f"Row 2: '{name}' must be {system.number.expectation}."
    assert [(e["row"], e["field"]) for e in document["errors"]] == [(2, name)]
    assert server.shows(0, "predictions", outcome="success")


def test_a_batch_of_the_wrong_shape(server: Server, system: System) -> None:
    row = system.sample
    for batch, reason in (
        ({"instances": []}, "no rows"),
        ({"instances": [{}] * 1001}, "1001 rows; send 1000 at most"),
        ({"instances": row}, "a list of rows"),
        ({"instances": [row], "more": 1}, "one member"),
        ({}, "one member"),
        ([row], "one member"),
    ):
        assert reason in problem(server.post("/predict/batch", batch), 422, "ValidationError")["detail"]


def test_a_batch_of_the_largest_size(server: Server, system: System) -> None:
    most = min(1000, MOST_BYTES // (len(json.dumps(system.sample)) + 2) - 1)
    answer = server.post("/predict/batch", {"instances": [system.sample] * most}).json()
    assert len(answer["predictions"]) == most


def test_a_body_that_is_declared_too_large(server: Server) -> None:
    document = problem(server.post("/predict", data=b" " * 10_000_000, headers=JSON), 413, "PayloadTooLarge")
    assert "1048576 bytes" in document["detail"]


def test_a_body_declared_too_large_is_rejected_before_it_is_sent(server: Server) -> None:
    assert raw_exchange(server.port, head(10_000_000)).startswith(b"HTTP/1.1 413 ")


def test_a_body_that_grows_too_large(server: Server) -> None:
    chunks = (b" " * 65536 for _ in range(160))
    problem(server.post("/predict", data=chunks, headers=JSON), 413, "PayloadTooLarge")


def head(length: int, extra: str = "") -> bytes:
    lines = [
        "POST /predict HTTP/1.1",
        "Host: x",
        "Content-Type: application/json",
        f"Content-Length: {length}",
    ]
    return ("\r\n".join(lines) + f"\r\n{extra}\r\n").encode()


def test_a_body_that_never_ends_gets_408_and_a_closed_connection(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(head(500) + b'{"age":')
        answer = b""
        while part := connection.recv(65536):
            answer += part
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"urn:problem-type:Timeout" in answer
    assert b"connection: close" in answer.lower()


def test_a_too_short_content_length_is_rejected_without_harm(server: Server, system: System) -> None:
    answer = raw_exchange(server.port, head(10) + json.dumps(system.sample).encode())
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert server.post("/predict", system.sample).status_code == 200


@pytest.mark.parametrize(
    "sent",
    [
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 5, 6\r\n\r\n",
        b"BREW / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
    ],
)
def test_a_parser_error_is_a_plain_400(server: Server, sent: bytes) -> None:
    assert raw_exchange(server.port, sent).startswith(b"HTTP/1.1 400 ")


def test_a_request_that_offers_an_upgrade_is_answered_as_http(server: Server) -> None:
    extra = "Connection: Upgrade\r\nUpgrade: h2c\r\n"
    answer = raw_exchange(server.port, head(2, extra) + b"{}")
    assert answer.startswith(b"HTTP/1.1 422 ")
    assert not [line for line in server.lines if "WebSocket library" in line]


@pytest.mark.heart
def test_a_client_that_disconnects_leaves_nothing_behind(server: Server) -> None:
    before = server.metric("api_requests_total", endpoint="/predict")
    for _ in range(20):
        raw_exchange_without_reading(server.port, head(500, "X-Request-ID: gone\r\n") + b'{"age":')
    eventually(
        lambda: server.metric("api_requests_total", endpoint="/predict") == before + 20, "all are counted"
    )
    assert server.metric("active_requests") == 0
    assert {line["status"] for line in server.requests_logged("gone")} == {499}


def raw_exchange_without_reading(port: int, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(sent)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=8,
)
BODIES = (
    st.binary(max_size=200)
    | VALUES.map(lambda value: json.dumps(value).encode())
    | st.lists(VALUES, max_size=3).map(lambda rows: json.dumps({"instances": rows}).encode())
)
TYPES = st.sampled_from(
    ["application/json"] * 8 + ["text/plain", "multipart/form-data; boundary=x", "a/b;charset=x"]
)
TOKENS = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=200)
HEADERS = st.fixed_dictionaries({"Content-Type": TYPES, "X-Request-ID": TOKENS, "Accept": TOKENS})


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(path=st.sampled_from(["/predict", "/predict/batch"]), data=st.data(), headers=HEADERS)
def test_hostile_input_never_gets_more_than_a_4xx(
    server: Server, system: System, path: str, data: st.DataObject, headers: dict[str, str]
) -> None:
    near_rows = st.dictionaries(st.sampled_from([*system.sample, "x"]), VALUES).map(
        lambda row: json.dumps(system.sample | row).encode()
    )
    response = server.post(path, data=data.draw(BODIES | near_rows), headers=headers)
    if response.status_code != 200:
        problem(response, response.status_code, response.json()["type"].rpartition(":")[2])
        assert response.status_code in {400, 415, 422}


@pytest.mark.parametrize(
    "accept", ["text/plain;version=x", "application/openmetrics-text;version=a.b", ";;,=", "*/*"]
)
def test_a_strange_accept_header_still_gets_metrics(server: Server, accept: str) -> None:
    assert server.get("/metrics", headers={"Accept": accept}).status_code == 200


@pytest.mark.heart
def test_overload_is_rejected_with_retry_after(start: Any) -> None:
    busy = start(MAX_ACTIVE_REQUESTS="3", BODY_TIMEOUT_SECONDS="20")
    waiting = [socket.create_connection(("127.0.0.1", busy.port), timeout=10) for _ in range(3)]
    for connection in waiting:
        connection.sendall(head(500))
    eventually(lambda: busy.metric("active_requests") == 3, "three requests are waiting for their bodies")
    response = busy.post("/predict", SAMPLE)
    problem(response, 429, "Overloaded")
    assert response.headers["retry-after"] == "1"
    assert busy.get("/readyz").status_code == 200
    for connection in waiting:
        connection.close()
    eventually(lambda: busy.post("/predict", SAMPLE).status_code == 200, "the server answers again")
    assert busy.metric("api_errors_total", error_type="Overloaded", endpoint="/predict") >= 1


@pytest.mark.heart
def test_the_deadline_is_for_the_whole_body(server: Server) -> None:
    """Sending a byte now and then does not keep a connection open."""
    body = json.dumps(SAMPLE).encode()
    start = time.monotonic()
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(head(len(body)))
        for byte in body:
            try:
                connection.sendall(bytes([byte]))
            except OSError:
                break
            if time.monotonic() - start > 8:
                break
            time.sleep(0.1)
        connection.settimeout(5)
        assert connection.recv(65536).startswith(b"HTTP/1.1 408 ")
