"""What a client can hold is bounded: heads, bodies, time, connections. Each limit is told and counted."""

import json
import socket
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from tests.contract.test_unread_answers import has_ended, logged, resident_mebibytes
from tests.harness import SAMPLE, Server, eventually, raw_exchange

Start = Callable[..., Server]

HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\n"
ROW = json.dumps(SAMPLE).encode()
BATCH = json.dumps({"instances": [SAMPLE] * 900}).encode()

pytestmark = pytest.mark.heart


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server({"HEAD_TIMEOUT_SECONDS": "1", "BODY_TIMEOUT_SECONDS": "60"}).wait_until_ready()
    yield server
    assert server.stop() == 0
    assert not logged(server, level="error")


@contextmanager
def connections(server: Server, number: int, sent: bytes) -> Iterator[list[socket.socket]]:
    clients = []
    for _ in range(number):
        clients.append(socket.create_connection(("127.0.0.1", server.port), timeout=30))
        clients[-1].sendall(sent)
    try:
        yield clients
    finally:
        for client in clients:
            client.close()


def post(body: bytes, path: str = "/predict", *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: x", "Content-Type: application/json", *headers]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


CHUNKED = post(b"", "/predict", "Transfer-Encoding: chunked").replace(b"Content-Length: 0\r\n", b"")


def send_until_closed(client: socket.socket, part: bytes, mebibytes: int) -> None:
    with pytest.raises(OSError, match=r"reset|Broken pipe"):
        send(client, part, mebibytes)


def send(client: socket.socket, part: bytes, mebibytes: int) -> None:
    for _ in range((mebibytes << 20) // len(part)):
        client.sendall(part)


def answers(received: bytes) -> list[tuple[int, dict[str, Any]]]:
    """Return status and body of each response, of which each declares its length."""
    found = []
    while received:
        head, _, rest = received.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        found.append((int(head[9:12]), json.loads(rest[:length])))
        received = rest[length:]
    return found


def closed(server: Server, reason: str) -> float:
    return server.metric("connections_closed_total", reason=reason)


def unmatched(server: Server, status: int) -> float:
    return server.metric("api_requests_total", endpoint="unmatched", status_code=str(status))


LINE = b"X-" + b"a" * 40 + b": " + b"b" * 2000 + b"\r\n"
TOO_LARGE = {
    "many bytes": HEALTH + LINE * 64 + b"\r\n",
    "one long line": HEALTH + b"X-A: " + b"b" * 200_000 + b"\r\n\r\n",
    "a long path": b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "many headers": HEALTH + b"a: b\r\n" * 100 + b"\r\n",
    "many headers of a prediction": post(ROW, "/predict", *["a: b"] * 100),
}


@pytest.mark.parametrize("sent", TOO_LARGE.values(), ids=TOO_LARGE)
def test_a_head_that_is_too_large_gets_431(server: Server, sent: bytes) -> None:
    before = unmatched(server, 431) if "431" in server.get("/metrics").text else 0
    ((status, problem),) = answers(raw_exchange(server.port, sent))
    assert (status, problem["type"]) == (431, "urn:problem-type:HeadTooLarge")
    assert "65536 bytes and 100 headers" in problem["detail"]
    assert unmatched(server, 431) == before + 1
    assert server.metric("active_requests") == 0


def test_a_head_may_have_so_much(server: Server) -> None:
    sent = HEALTH + LINE * 30 + b"a: b\r\n" * 68 + b"\r\n"
    assert raw_exchange(server.port, sent).startswith(b"HTTP/1.1 200 ")


def test_the_memory_of_a_head_is_bounded(server: Server) -> None:
    before = resident_mebibytes(server)
    with connections(server, 1, HEALTH) as (client,):
        send_until_closed(client, LINE, 200)
    assert resident_mebibytes(server) - before < 8


def test_the_memory_of_trailers_is_bounded(server: Server) -> None:
    before = resident_mebibytes(server)
    with connections(server, 1, CHUNKED + b"2\r\n{}\r\n0\r\n") as (client,):
        send_until_closed(client, LINE, 200)
    assert resident_mebibytes(server) - before < 8


def test_a_half_head_gets_408_and_a_silent_connection_is_closed(server: Server) -> None:
    silent, slow = closed(server, "silent"), closed(server, "slow_head")
    with connections(server, 3, HEALTH + b"X-") as half, connections(server, 3, b"") as nothing:
        for client in half:
            ((status, problem),) = answers(client.recv(65536))
            assert (status, problem["detail"]) == (408, "The head was not complete after 1 seconds.")
        assert [client.recv(1) for client in (*half, *nothing)] == [b""] * 6
    assert closed(server, "silent") == silent + 3
    assert closed(server, "slow_head") == slow + 3
    assert logged(server, message="connections closed")


def test_a_half_head_after_a_response_gets_408(server: Server) -> None:
    with connections(server, 1, HEALTH + b"\r\n" + HEALTH) as (client,):
        received = b""
        while part := client.recv(65536):
            received += part
    assert [status for status, _ in answers(received)] == [200, 408]


@pytest.mark.parametrize("kind", ["alone", "pipelined", "in a body"])
def test_what_is_no_http_gets_a_problem_document_after_what_came_before(server: Server, kind: str) -> None:
    before = closed(server, "malformed")
    sent = {"alone": b"", "pipelined": post(BATCH, "/predict/batch") + post(ROW), "in a body": CHUNKED}[kind]
    found = answers(raw_exchange(server.port, sent + b"\x00\x01 nonsense\r\n\r\n"))
    assert [status for status, _ in found] == ([200, 200, 400] if kind == "pipelined" else [400])
    assert found[-1][1]["type"] == "urn:problem-type:MalformedRequest"
    assert closed(server, "malformed") == before + 1


def test_bodies_that_never_end_make_room_for_others(start: Start) -> None:
    server = start(MAX_BUFFERED_BYTES="4000000", MAX_BODY_BYTES="1000000", BODY_TIMEOUT_SECONDS="60")
    before = resident_mebibytes(server)
    unfinished = post(b"1" * 1_000_000, "/predict/batch")[:-10_000]
    batches = {"endpoint": "/predict/batch"}
    with connections(server, 4, unfinished) as clients:
        eventually(lambda: server.metric("active_requests") == 4, "all have begun")
        with connections(server, 12, unfinished) as late:  # all others are young: they may be about to end
            assert {client.recv(12) for client in late} == {b"HTTP/1.1 429"}
        assert resident_mebibytes(server) - before < 24
        eventually(
            lambda: server.post("/predict/batch", json.loads(BATCH)).status_code == 200, "one made room"
        )
        assert server.post("/predict/batch", json.loads(BATCH)).status_code == 200
        assert sum(map(is_open, clients)) == 3
        assert closed(server, "memory") == 1
    eventually(lambda: server.metric("active_requests") == 0, "none is left")
    cause = "the request's body made room for others"
    assert len(logged(server, route="/predict/batch", status=429, error="Overloaded", cause=cause)) == 1
    assert server.metric("api_requests_total", status_code="429", **batches) >= 13
    assert not logged(server, level="error")


def test_chunked_bodies_that_never_end_make_room_for_others(start: Start) -> None:
    server = start(MAX_BUFFERED_BYTES="4000000", MAX_BODY_BYTES="1000000", BODY_TIMEOUT_SECONDS="60")
    unfinished = CHUNKED + b"f0000\r\n" + b"1" * 0xF0000
    with connections(server, 12, unfinished) as clients:
        eventually(
            lambda: closed(server, "memory") + server.metric("active_requests") == 12, "all have begun"
        )
        eventually(lambda: sum(map(is_open, clients)) <= 4, "those that fit are left")
        assert closed(server, "memory") >= 8


def is_open(client: socket.socket) -> bool:
    client.setblocking(False)
    return not has_ended(client)


def test_a_body_that_never_ends_after_its_answer_is_cut(server: Server) -> None:
    before = closed(server, "unread_body")
    with connections(server, 1, post(b"1" * (1 << 30))[:200]) as (client,):
        assert client.recv(65536).startswith(b"HTTP/1.1 413 ")
        send_until_closed(client, b"1" * (1 << 20), 64)
    eventually(lambda: closed(server, "unread_body") == before + 1, "it is counted")


def test_a_body_that_stops_after_its_answer_is_cut(server: Server) -> None:
    before = closed(server, "unread_body")
    with connections(server, 1, post(b"1" * (1 << 21))[:200]) as (client,):
        assert client.recv(65536).startswith(b"HTTP/1.1 413 ")
        eventually(lambda: has_ended_quietly(client), "it is closed")
    assert closed(server, "unread_body") == before + 1


def has_ended_quietly(client: socket.socket) -> bool:
    client.setblocking(False)
    return has_ended(client)


def test_connections_leave_open_files_for_probes(start: Start) -> None:
    """Once, 400 half heads at 256 open files left none: a probe was reset."""
    shell = ["bash", "-c", f"ulimit -n 256; exec {sys.executable} api_server.py"]
    server = start(shell)
    warning = logged(server, message="fewer connections")
    assert warning[0]["connections"] == server.metric("connections_limit") == 96
    with connections(server, 400, HEALTH):
        for _ in range(8):
            assert server.get("/livez").status_code == 200
        assert server.post("/predict", SAMPLE).status_code == 200
        eventually(lambda: 75 < server.metric("open_connections") <= 96, "they are shown")
    assert closed(server, "replaced") > 200
    assert logged(server, message="connections closed", level="warning")


# ---- load ----


def test_a_connection_goes_on_after_its_batch_was_shed(start: Start) -> None:
    server = start(MAX_QUEUE_SECONDS="0.001", MAX_BUFFERED_BYTES=str(1 << 30))
    with ThreadPoolExecutor(120) as pool:
        found = list(pool.map(lambda _: a_batch_and_a_row(server), range(480)))
    statuses = [[status for status, _ in both] for both in found]
    assert {tuple(both) for both in statuses} <= {(200, 200), (429, 200)}, "the connection goes on"
    problems = [both[0][1] for both in found if both[0][0] == 429]
    assert problems, "some are shed"
    assert {problem["type"] for problem in problems} == {"urn:problem-type:Overloaded"}
    assert len({problem["request_id"] for problem in problems}) == len(problems)
    batches = {"endpoint": "/predict/batch"}
    assert server.metric("api_requests_total", status_code="429", **batches) == len(problems)
    assert server.metric("api_errors_total", error_type="Overloaded", **batches) == len(problems)
    assert server.metric("api_requests_total", status_code="200", **batches) == 480 - len(problems)
    assert not [line for line in logged(server, route="/predict/batch") if "Traceback" in str(line)]


def a_batch_and_a_row(server: Server) -> list[tuple[int, dict[str, Any]]]:
    """Return the answers to both, by one connection."""
    with connections(server, 1, post(BATCH, "/predict/batch") + post(ROW)) as (client,):
        received = b""
        while received.count(b"HTTP/1.1 ") < 2 or not received.endswith(b"}"):
            received += client.recv(1 << 20)
    return answers(received)
