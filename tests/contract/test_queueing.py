"""The server's clocks show what clients wait for, and large requests leave the event loop to small ones."""

import json
import math
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from time import perf_counter

import numpy as np
import pytest
import requests

from tests.harness import Server, eventually
from tests.systems import System

CLIENTS = 24
BATCHES = 4

pytestmark = pytest.mark.heart


def batch(system: System, rows: int) -> bytes:
    return json.dumps({"instances": [system.sample] * rows}).encode()


def post(session: requests.Session, server: Server, body: bytes) -> requests.Response:
    headers = {"Content-Type": "application/json"}
    return session.post(f"{server.url}/predict/batch", data=body, headers=headers, timeout=120)


@contextmanager
def queue_of_batches(
    server: Server, system: System, seconds: list[float], statuses: set[int]
) -> Iterator[None]:
    """Have CLIENTS send batches at the same time, and note how long each of them waited."""
    body = batch(system, 1000)

    def send() -> None:
        with requests.Session() as session:
            for _ in range(BATCHES):
                begun = perf_counter()
                statuses.add(post(session, server, body).status_code)
                seconds.append(perf_counter() - begun)

    clients = [threading.Thread(target=send) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    yield
    for client in clients:
        client.join(120)


def buckets(server: Server, name: str, **labels: str) -> list[tuple[float, float]]:
    """Return upper bound and cumulated count of each bucket."""
    found = [
        (float(dict(shown)["le"]), value)
        for (series, shown), value in server.metrics().items()
        if series == f"{name}_bucket" and labels.items() <= dict(shown).items()
    ]
    return sorted(found)


def bucket_of(quantile: float, found: list[tuple[float, float]]) -> int:
    """Return which bucket a quantile lies in."""
    return next(place for place, (_, count) in enumerate(found) if count >= quantile * found[-1][1])


def test_latency_is_what_clients_waited(start: Callable[..., Server], system: System) -> None:
    server, seconds, statuses = start(), list[float](), set[int]()
    with queue_of_batches(server, system, seconds, statuses):
        eventually(lambda: server.metric("active_requests") > 3 * CLIENTS / 4, "the queue is seen")
    assert statuses == {200}
    shown = buckets(server, "api_request_duration_seconds", endpoint="/predict/batch")
    assert shown[-1][1] == len(seconds) == CLIENTS * BATCHES
    for quantile in (0.5, 0.9):
        by_client = np.quantile(seconds, quantile)
        bound = next(place for place, (bound, _) in enumerate(shown) if by_client <= bound)
        assert abs(bucket_of(quantile, shown) - bound) <= 1, (quantile, by_client, shown)
    queued = buckets(server, "request_queue_seconds")
    assert bucket_of(0.5, queued) >= bucket_of(0.5, shown) - 1


def test_a_row_does_not_wait_for_a_queue_of_batches(start: Callable[..., Server], system: System) -> None:
    server, seconds, rows = start(), list[float](), list[float]()
    with queue_of_batches(server, system, seconds, set()):
        eventually(lambda: server.metric("active_requests") > 3 * CLIENTS / 4, "a queue")
        while server.metric("active_requests") > CLIENTS / 2:
            begun = perf_counter()
            assert server.post("/predict", system.sample).status_code == 200
            rows.append(perf_counter() - begun)
    assert np.median(rows) < np.median(seconds) / 2


def test_load_is_shed_from_a_queue_that_is_too_long(start: Callable[..., Server], system: System) -> None:
    server, statuses = start(MAX_ACTIVE_REQUESTS="8"), set[int]()
    with queue_of_batches(server, system, [], statuses):
        pass
    assert statuses == {200, 429}
    assert server.metric("api_requests_total", endpoint="/predict/batch", status_code="429") > 0


def test_a_client_that_sends_slowly_is_no_slow_server(start: Callable[..., Server], system: System) -> None:
    server, sent = start(BODY_TIMEOUT_SECONDS="30"), batch_request(batch(system, 2))
    with connected(server, sent[:-20]) as client:
        begun = perf_counter()
        eventually(lambda: server.metric("active_requests") == 1, "the head has arrived")
        eventually(lambda: perf_counter() - begun > 0.6, "the client has dawdled")
        client.sendall(sent[-20:])
        assert client.recv(64).startswith(b"HTTP/1.1 200 ")
    shown = dict(buckets(server, "api_request_duration_seconds", endpoint="/predict/batch"))
    assert shown[0.5] == 1


def connected(server: Server, sent: bytes) -> socket.socket:
    """Return a connection whose client has room for little that it does not read."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(60)
    client.connect(("127.0.0.1", server.port))
    client.sendall(sent)
    return client


def batch_request(body: bytes) -> bytes:
    head = "POST /predict/batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def test_a_body_that_never_comes_is_no_slow_answer(start: Callable[..., Server], system: System) -> None:
    server = start(BODY_TIMEOUT_SECONDS="0.5")
    with connected(server, batch_request(batch(system, 2))[:-20]) as client:
        assert client.recv(64).startswith(b"HTTP/1.1 408 ")
    asked = {"endpoint": "/predict/batch"}
    eventually(lambda: server.metric("api_requests_total", status_code="408", **asked) == 1, "it is counted")
    assert server.metric("api_request_duration_seconds_count", **asked) == 0


def test_fast_errors_hide_no_slow_prediction(start: Callable[..., Server], system: System) -> None:
    server = start(FAULT_LATENCY_SECONDS="0.4")
    assert server.post("/predict", system.sample).status_code == 200
    for _ in range(20):
        assert server.post("/predict", {}).status_code == 422
    asked = {"endpoint": "/predict"}
    assert server.metric("api_requests_total", **asked) == 21
    shown = dict(buckets(server, "api_request_duration_seconds", **asked))
    assert (shown[0.25], shown[math.inf]) == (0, 1)


def test_nothing_is_computed_for_clients_that_gave_up(start: Callable[..., Server], system: System) -> None:
    server, asked = start(MAX_QUEUE_SECONDS="60"), {"endpoint": "/predict/batch"}
    sent = batch_request(batch(system, 1000))
    clients = [connected(server, sent[:-1]) for _ in range(4 * CLIENTS)]
    for client in clients:
        client.sendall(sent[-1:])
    assert clients[0].recv(64).startswith(b"HTTP/1.1 200 ")  # others wait
    while clients:
        client = clients.pop()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # at once
        client.close()
    eventually(lambda: server.metric("active_requests") == 0, "none is left")
    gave_up = server.metric("api_requests_total", status_code="499", **asked)
    assert gave_up > CLIENTS
    assert server.metric("predictions_total") <= 1000 * (4 * CLIENTS - gave_up)


def test_a_client_that_pipelines_and_does_not_read_is_no_slow_server(
    start: Callable[..., Server], system: System
) -> None:
    server, (large, small) = start(), (batch_request(batch(system, rows)) for rows in (1000, 2))
    with connected(server, large * 3 + small) as client:
        begun = perf_counter()
        eventually(lambda: perf_counter() - begun > 1.5, "the client does not read")
        received = b""
        while received.count(b"HTTP/1.1 200 ") < 4 or not received.endswith(b"}"):
            received += client.recv(1 << 16)
    asked = {"endpoint": "/predict/batch"}
    eventually(
        lambda: server.metric("api_requests_total", status_code="200", **asked) == 4, "all are counted"
    )
    assert dict(buckets(server, "api_request_duration_seconds", **asked))[1.0] == 4
    assert dict(buckets(server, "request_queue_seconds"))[1.0] == server.metric("request_queue_seconds_count")


def test_the_event_loops_lag_is_shown(server: Server) -> None:
    def observed() -> float:
        return server.metric("event_loop_lag_seconds_count")

    before = observed()
    eventually(lambda: observed() > before, "it is measured again")
    found = buckets(server, "event_loop_lag_seconds")
    assert all(more >= less for (_, less), (_, more) in pairwise(found))
