"""The server's clocks show what clients wait for, and large requests leave the event loop to small ones."""

import json
import socket
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
    server, body = start(BODY_TIMEOUT_SECONDS="30"), batch(system, 2)
    head = "POST /predict/batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=60) as client:
        client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:20])
        begun = perf_counter()
        eventually(lambda: server.metric("active_requests") == 1, "the head has arrived")
        eventually(lambda: perf_counter() - begun > 0.6, "the client has dawdled")
        client.sendall(body[20:])
        assert client.recv(64).startswith(b"HTTP/1.1 200 ")
    shown = dict(buckets(server, "api_request_duration_seconds", endpoint="/predict/batch"))
    assert shown[0.5] == 1


def test_the_event_loops_lag_is_shown(server: Server) -> None:
    def observed() -> float:
        return server.metric("event_loop_lag_seconds_count")

    before = observed()
    eventually(lambda: observed() > before, "it is measured again")
    found = buckets(server, "event_loop_lag_seconds")
    assert all(more >= less for (_, less), (_, more) in pairwise(found))
