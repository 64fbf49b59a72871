"""What a drain does with connections that are idle, new, or in the middle of a request."""

import json
import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from http.client import HTTPConnection

import psutil
import pytest

from tests.harness import SAMPLE, Server, eventually

pytestmark = pytest.mark.heart

BODY = json.dumps(SAMPLE).encode()
HEAD = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
REQUEST = HEAD % len(BODY) + BODY


def connected(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=10)


def kept(server: Server) -> HTTPConnection:
    """Return a connection on which a request has been answered."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request("GET", "/livez")
    assert connection.getresponse().read()
    return connection


def refuses(server: Server) -> bool:
    try:
        connected(server).close()
    except ConnectionError:
        return True
    return False


def test_an_idle_connection_is_used_in_the_first_half_and_closed_after_it(
    start: Callable[..., Server],
) -> None:
    server = start(DRAIN_SECONDS="6")
    with closing(kept(server)) as used, closing(kept(server)) as idle:
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: server.get("/readyz").status_code == 503, "readiness turns")
        used.request("GET", "/livez")
        answer = used.getresponse()
        answer.read()  # which gives the socket back
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert idle.sock
        assert idle.sock.recv(1) == b""
        assert server.wait() == 0


@pytest.mark.parametrize("sent", [b"", REQUEST[:30]])
def test_a_new_connection_gets_the_answer_to_its_first_request(
    start: Callable[..., Server], sent: bytes
) -> None:
    server = start(DRAIN_SECONDS="4")
    server.process.send_signal(signal.SIGTERM)
    with ExitStack() as stack:
        connections: list[socket.socket] = []

        def cannot_connect() -> bool:
            try:
                connections.append(stack.enter_context(connected(server)))
            except ConnectionError:
                return True
            connections[-1].sendall(sent)
            return False

        eventually(cannot_connect, "the socket is closed")
        for connection in connections[-10:]:
            connection.sendall(REQUEST[len(sent) :])
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
    assert server.wait() == 0


def test_a_silent_connection_does_not_prolong_the_drain(start: Callable[..., Server]) -> None:
    server = start(DRAIN_SECONDS="4")
    with connected(server):
        begin = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert server.wait() == 0
        assert time.monotonic() - begin < 6


def test_slow_clients_are_cut_off_at_the_end_and_logged_as_no_error(start: Callable[..., Server]) -> None:
    server = start(DRAIN_SECONDS="4")
    with connected(server) as sends_half, connected(server) as reads_nothing:
        sends_half.sendall(REQUEST.replace(b"Host: a", b"X-Request-ID: half", 1)[:-5])
        reads_nothing.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reads_nothing.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n" * 200)
        eventually(lambda: server.metric("active_requests") >= 2, "both have begun")
        server.process.send_signal(signal.SIGTERM)
        assert server.wait() == 0
    (line,) = server.requests_logged("half")
    assert (line["status"], line["cause"]) == (
        499,
        "the server stopped before its client had sent or read all",
    )
    assert not [line for line in server.lines if json.loads(line)["level"] == "error"]


def test_workers_refuse_connections_that_none_would_accept(start: Callable[..., Server]) -> None:
    server = start(DRAIN_SECONDS="8", WORKERS="2", FAULT_LATENCY_SECONDS="6")
    answered: list[int] = []
    client = threading.Thread(target=lambda: answered.append(server.post("/predict", SAMPLE).status_code))
    client.start()
    eventually(lambda: server.metric("active_requests") == 1, "the request has begun")
    server.process.send_signal(signal.SIGTERM)
    eventually(lambda: refuses(server), "connections are refused")
    assert answered == []
    client.join(20)
    assert answered == [200]
    assert server.wait() == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_who_connects_is_answered_or_refused(start: Callable[..., Server], workers: str) -> None:
    """No connection is accepted by the kernel and then reset: a proxy may not send such a request again."""
    server = start(DRAIN_SECONDS="4", WORKERS=workers)
    outcomes: Counter[str] = Counter()
    clients = [threading.Thread(target=lambda: outcomes.update(until_refused(server))) for _ in range(8)]
    server.process.send_signal(signal.SIGTERM)
    for client in clients:
        client.start()
    for client in clients:
        client.join(30)
    assert server.wait() == 0
    assert outcomes.keys() == {"HTTP/1.1 200"}, outcomes


def test_all_that_wait_at_the_end_are_answered(start: Callable[..., Server]) -> None:
    server = start(DRAIN_SECONDS="4")
    server.process.send_signal(signal.SIGTERM)
    eventually(lambda: server.get("/readyz").status_code == 503, "readiness turns")
    server.process.send_signal(signal.SIGSTOP)
    with ExitStack() as stack:
        connections = [stack.enter_context(connected(server)) for _ in range(300)]
        for connection in connections:
            connection.sendall(REQUEST)
        time.sleep(2)  # until the notice is over, while the process cannot know
        server.process.send_signal(signal.SIGCONT)
        answers = Counter(connection.recv(65536)[:12] for connection in connections)
    assert answers == {b"HTTP/1.1 200": 300}
    assert server.wait() == 0


def workers(server: Server) -> list[psutil.Process]:
    children = psutil.Process(server.process.pid).children()
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


@pytest.mark.parametrize("reached", ["service", "terminal"])
def test_nobody_is_reset_where_workers_get_the_signal_too(start: Callable[..., Server], reached: str) -> None:
    """systemd sends SIGTERM to every process of a service, and a terminal SIGINT to every one of a group."""
    server = start(DRAIN_SECONDS="6", WORKERS="2")
    eventually(lambda: sum("listening" in line for line in server.lines) == 2, "both workers listen")
    supervisor = server.process.pid
    everyone = [supervisor, *(worker.pid for worker in workers(server))]
    assert len(everyone) == 3
    group = [pid for pid in everyone if os.getpgid(pid) == os.getpgid(supervisor)]
    outcomes: Counter[str] = Counter()
    clients = [threading.Thread(target=lambda: outcomes.update(until_refused(server))) for _ in range(8)]
    for client in clients:
        client.start()
    eventually(lambda: server.metric("predictions_total") > 100, "clients predict")
    for pid in everyone if reached == "service" else group:
        os.kill(pid, signal.SIGTERM if reached == "service" else signal.SIGINT)
    if reached == "service":
        eventually(lambda: server.get("/readyz").status_code == 503, "readiness turns")
        assert server.get("/livez").status_code == 200
    for client in clients:
        client.join(30)
    assert server.wait() == 0
    assert outcomes.keys() == {"HTTP/1.1 200"}, outcomes


def until_refused(server: Server) -> Iterator[str]:
    """Yield the answer to each request, on a connection of its own, until the server refuses these."""
    while True:
        try:
            connection = connected(server)
        except ConnectionRefusedError:
            return
        try:
            connection.sendall(REQUEST)
            yield connection.recv(65536)[:12].decode()
        except OSError as error:
            yield type(error).__name__
        connection.close()
