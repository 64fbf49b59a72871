"""traceparent: its trace id is in the log line, and the exemplar of a duration where a scrape can read it."""

import socket
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.harness import SAMPLE, Server, eventually

pytestmark = pytest.mark.heart

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = f"00-{TRACE}-{SPAN}-01"
OPENMETRICS = {"Accept": "application/openmetrics-text"}


def logged(server: Server, request_id: str, **headers: str) -> dict[str, Any]:
    """Predict, and return the line of the request."""
    server.post("/predict", SAMPLE, headers={"X-Request-ID": request_id} | headers)
    (line,) = server.requests_logged(request_id)
    return line


def exemplars(server: Server, name: str = "api_request_duration_seconds") -> dict[str, Any]:
    """Return the exemplars of the durations of /predict, with their buckets, by trace id."""
    found = {}
    for family in text_string_to_metric_families(server.get("/metrics", headers=OPENMETRICS).text):
        for sample in family.samples:
            if sample.exemplar:
                assert (family.name, sample.labels["endpoint"]) == (name, "/predict")
                found[sample.exemplar.labels["trace_id"]] = (sample.labels["le"], sample.exemplar)
    return found


@pytest.mark.parametrize(
    "traceparent",
    [TRACEPARENT, f"00-{TRACE}-{SPAN}-00", f"01-{TRACE}-{SPAN}-01", f"cc-{TRACE}-{SPAN}-01-more"],
)
def test_the_trace_id_is_in_the_log_line(server: Server, traceparent: str) -> None:
    line = logged(server, f"traced-{traceparent}", traceparent=traceparent)
    assert (line["trace_id"], line["status"]) == (TRACE, 200)


INVALID = [
    "", "x", TRACE, f"{TRACE}-{SPAN}", f"00-{TRACE}-{SPAN}", f"00-{TRACE}-{SPAN}-1", f"00-{TRACE}-{SPAN}-001",
    f"00-{TRACE}-{SPAN}-01-", f"00-{TRACE}-{SPAN}-01-more", f"0-{TRACE}-{SPAN}-01", f"ff-{TRACE}-{SPAN}-01",
    f"FF-{TRACE}-{SPAN}-01", f"00-{TRACE.upper()}-{SPAN}-01", f"00-{TRACE}-{SPAN.upper()}-01",
    f"00-{'0' * 32}-{SPAN}-01", f"00-{TRACE}-{'0' * 16}-01", f"00-{TRACE[1:]}-{SPAN}-01",
    f"00-{TRACE}0-{SPAN}-01",
    f"00-{TRACE}-{SPAN}-zz", f"00_{TRACE}_{SPAN}_01", f"01-{TRACE}-{SPAN}-01more", f"zz-{TRACE}-{SPAN}-01",
    f"{TRACEPARENT}, {TRACEPARENT}",
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(INVALID)))
def test_an_invalid_header_is_ignored(server: Server, number: int) -> None:
    line = logged(server, f"untraced-{number}", traceparent=INVALID[number])
    assert line["status"] == 200
    assert "trace_id" not in line


def test_two_headers_are_none(server: Server) -> None:
    twice = f"traceparent: {TRACEPARENT}\r\n" * 2
    head = f"GET /health HTTP/1.1\r\nHost: x\r\nX-Request-ID: twice\r\nConnection: close\r\n{twice}\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(head.encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
    (line,) = server.requests_logged("twice")
    assert "trace_id" not in line


def test_a_line_without_traceparent_has_no_trace(server: Server) -> None:
    assert "trace_id" not in logged(server, "no-trace")


def test_errors_and_probes_have_it_too(server: Server) -> None:
    for path, body in (("/predict", {}), ("/nothing", {}), ("/livez", None)):
        headers = {"X-Request-ID": f"trace{path}", "traceparent": TRACEPARENT}
        server.get(path, headers=headers) if body is None else server.post(path, body, headers=headers)
        (line,) = server.requests_logged(f"trace{path}")
        assert line["trace_id"] == TRACE, path


def test_a_duration_has_the_trace_as_its_exemplar(start: Callable[..., Server]) -> None:
    server = start()
    logged(server, "slow-or-not", traceparent=TRACEPARENT)
    server.post("/predict", SAMPLE)
    server.post("/predict", {}, headers={"traceparent": TRACEPARENT.replace("4bf9", "0000")})
    ((le, exemplar),) = exemplars(server).values()
    assert exemplar.labels == {"trace_id": TRACE}
    assert 0 < exemplar.value <= float(le)
    assert exemplar.timestamp.sec > 1_700_000_000
    text = server.get("/metrics").text
    assert "trace_id" not in text
    assert (
        text.count('api_request_duration_seconds_bucket{endpoint="/predict",le="+Inf",method="POST"} 2.0')
        == 1
    )


def test_the_last_trace_of_a_bucket_is_shown(start: Callable[..., Server]) -> None:
    server = start(FAULT_LATENCY_SECONDS="0.11")
    other = TRACE.replace("4bf9", "aaaa")
    for trace in (TRACE, other):
        assert server.post("/predict", SAMPLE, headers={"traceparent": f"00-{trace}-{SPAN}-01"}).ok
    assert other in exemplars(server)
    assert len(exemplars(server)) <= 2


def test_workers_show_their_own(start: Callable[..., Server]) -> None:
    server = start(WORKERS="2")
    for _ in range(20):
        assert server.post("/predict", SAMPLE, headers={"traceparent": TRACEPARENT}).ok
    eventually(lambda: TRACE in exemplars(server), "a worker shows its exemplar")
    assert server.metric("api_request_duration_seconds_count", endpoint="/predict") == 20
