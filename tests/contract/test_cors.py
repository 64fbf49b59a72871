"""CORS_ORIGINS: pages of named origins may predict and read answers and errors; by default there are none."""

import socket
from collections.abc import Callable, Iterator

import pytest
import requests

from tests.contract.test_errors import head
from tests.contract.test_greedy_clients import CHUNKED
from tests.harness import SAMPLE, Server, eventually, problem

pytestmark = pytest.mark.heart

APP, LOCAL = "https://app.example.org", "http://localhost:3000"
OTHER = "https://evil.example"
ASKS = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}


@pytest.fixture(scope="module")
def shared() -> Iterator[Server]:
    settings = {"CORS_ORIGINS": f"{APP}, {LOCAL}", "CANARY_KEY_HEADER": "X-Patient", "DRAIN_SECONDS": "0"}
    server = Server(settings | {"BODY_TIMEOUT_SECONDS": "1", "HEAD_TIMEOUT_SECONDS": "1"}).wait_until_ready()
    yield server
    assert server.stop() == 0
    assert not [line for line in server.lines if "Traceback" in line or '"level":"error"' in line]


def preflight(server: Server, path: str, origin: str, **headers: str) -> requests.Response:
    return requests.options(server.url + path, headers={"Origin": origin} | ASKS | headers, timeout=10)


def allowed_by(answer: requests.Response) -> set[str]:
    return {name.lower() for name in answer.headers if name.lower().startswith("access-control-")}


@pytest.mark.parametrize("origin", [APP, LOCAL])
def test_a_preflight_says_what_a_page_may_ask(shared: Server, origin: str) -> None:
    for path, methods in (("/predict", "POST"), ("/predict/batch", "POST"), ("/models", "GET, HEAD")):
        answer = preflight(shared, path, origin)
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["access-control-allow-origin"] == origin
        assert answer.headers["access-control-allow-methods"] == methods
        assert answer.headers["access-control-max-age"] == "600"
        assert answer.headers["vary"] == "Origin"
        assert "access-control-allow-credentials" not in answer.headers
    headers = answer.headers["access-control-allow-headers"].lower().split(", ")
    assert {"content-type", "authorization", "content-encoding", "x-request-id", "x-patient"} <= set(headers)


def test_answers_and_errors_can_be_read(shared: Server) -> None:
    json_type = {"Content-Type": "application/json"}
    answers = {
        200: shared.post("/predict", SAMPLE, headers={"Origin": APP}),
        400: shared.post("/predict", data=b"{", headers={"Origin": APP} | json_type),
        404: shared.get("/nothing", headers={"Origin": APP}),
        405: shared.get("/predict", headers={"Origin": APP}),
        413: shared.post("/predict", data=b" " * 1_048_577, headers={"Origin": APP} | json_type),
        415: shared.post("/predict", data=b"x", headers={"Origin": APP}),
        422: shared.post("/predict", {}, headers={"Origin": APP}),
    }
    for status, answer in answers.items():
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == APP
        assert answer.headers["access-control-expose-headers"] == "Retry-After, X-Request-ID"
        assert "Origin" in answer.headers["vary"]
        assert "access-control-allow-credentials" not in answer.headers
    assert shared.get("/health", headers={"Origin": LOCAL}).headers["access-control-allow-origin"] == LOCAL


def test_overload_can_be_read(start: Callable[..., Server]) -> None:
    busy = start(CORS_ORIGINS=APP, MAX_ACTIVE_REQUESTS="1", BODY_TIMEOUT_SECONDS="20")
    with socket.create_connection(("127.0.0.1", busy.port), timeout=10) as waiting:
        waiting.sendall(head(500))
        eventually(lambda: busy.metric("active_requests") == 1, "a request is waiting for its body")
        answer = busy.post("/predict", SAMPLE, headers={"Origin": APP})
    problem(answer, 429, "Overloaded")
    assert answer.headers["access-control-allow-origin"] == APP


ORIGIN = f"Origin: {APP}\r\nA: b\r\n".encode()  # a header is read when the next one begins
HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\n"
REFUSED = {
    "400 in a body": (400, CHUNKED.replace(b"Host", ORIGIN + b"Host") + b"no size\r\n"),
    "400 of a head": (400, HEALTH + ORIGIN + b"no header\r\n\r\n"),
    "408": (408, HEALTH + ORIGIN),
    "431 in bytes": (431, HEALTH + ORIGIN + b"a: " + b"b" * 70_000),
    "431 in headers": (431, HEALTH + ORIGIN + b"a: b\r\n" * 100 + b"\r\n"),
}


@pytest.mark.parametrize(("status", "sent"), REFUSED.values(), ids=REFUSED)
def test_what_no_route_sees_can_be_read_where_the_origin_was(
    shared: Server, status: int, sent: bytes
) -> None:
    for origin in (APP, OTHER):
        answer = exchanged(shared, sent.replace(APP.encode(), origin.encode()))
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert b"vary: Origin\r\n" in answer
        assert (b"access-control-allow-origin" in answer) == (origin == APP)


def test_a_head_is_not_answered_as_the_one_before_it(shared: Server) -> None:
    answer = exchanged(shared, HEALTH + ORIGIN + b"\r\n" + b"\x00\x01 nonsense\r\n\r\n")
    assert answer.count(b"access-control-allow-origin") == 1
    assert b"HTTP/1.1 400 " in answer


def exchanged(server: Server, sent: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(sent)
        received = b""
        while part := client.recv(65536):
            received += part
    return received


@pytest.mark.parametrize("origin", [OTHER, "null", f"{APP}.evil.example", APP.upper(), f"{APP}:8443", ""])
def test_other_origins_are_told_nothing(shared: Server, origin: str) -> None:
    problem(preflight(shared, "/predict", origin), 405, "MethodNotAllowed")
    for answer in (
        preflight(shared, "/predict", origin),
        shared.post("/predict", SAMPLE, headers={"Origin": origin}),
        shared.get("/health"),
    ):
        assert not allowed_by(answer)
        assert answer.headers["vary"] == "Origin"


def test_preflights_are_counted_by_route_and_not_timed(shared: Server) -> None:
    for path in ("/predict", "/models/heart-disease", "/models/other", "/nothing", "/livez"):
        preflight(shared, path, APP)
    counted = {
        (dict(labels)["endpoint"], dict(labels)["status_code"])
        for name, labels in shared.metrics()
        if name == "api_requests_total" and ("method", "OPTIONS") in labels
    }
    assert {("/predict", "204"), ("/models/{name}", "204"), ("/livez", "204")} <= counted
    assert {status for _, status in counted} == {"204"}
    timed = [
        name for name, labels in shared.metrics() if "duration" in name and ("method", "OPTIONS") in labels
    ]
    assert not timed
    problem(preflight(shared, "/nothing", APP), 404, "NotFound")


def test_options_that_is_no_preflight_is_rejected_as_before(shared: Server) -> None:
    for headers in ({}, {"Origin": APP}, ASKS):
        answer = requests.options(f"{shared.url}/predict", headers=headers, timeout=10)
        problem(answer, 405, "MethodNotAllowed")
        assert answer.headers["allow"] == "POST"


def test_by_default_there_is_no_cors(server: Server) -> None:
    problem(preflight(server, "/predict", APP), 405, "MethodNotAllowed")
    answer = server.post("/predict", SAMPLE, headers={"Origin": APP})
    assert not allowed_by(answer)
    assert "vary" not in answer.headers


def test_a_prefix_has_preflights_too(start: Callable[..., Server]) -> None:
    server = start(CORS_ORIGINS=APP, ROOT_PATH="/api")
    assert preflight(server, "/api/predict", APP).headers["access-control-allow-methods"] == "POST"
    assert server.post("/api/predict", SAMPLE, headers={"Origin": APP}).headers["access-control-allow-origin"]
