"""Clients that do not read their answers cost little, block nobody, and are disconnected."""

import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.harness import SAMPLE, Server, eventually

Start = Callable[..., Server]
Sockets = list[socket.socket]

ASSET = b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n"
BATCH = json.dumps({"instances": [SAMPLE] * 900}).encode()
POST = (
    b"POST /predict/batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
)
CLOSE = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
UNREAD = {
    "an asset": ASSET,
    "pipelined assets": ASSET * 6,
    "pipelined small answers": b"GET /models HTTP/1.1\r\nHost: x\r\n\r\n" * 1000,
    "a large batch": (POST % len(BATCH) + BATCH) * 3,
    "refusals": b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n" * 3000,
}
NOTHING_TAKEN = "the client took nothing of the answer for 1 seconds"
NOT_DONE = "the client had not taken the answer after 6 seconds"

pytestmark = pytest.mark.heart


@contextmanager
def unread(server: Server, number: int, sent: bytes) -> Iterator[Sockets]:
    """Clients with a small buffer that send requests and never read."""
    clients: Sockets = []
    for _ in range(number):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        client.connect(("127.0.0.1", server.port))
        client.setblocking(False)  # does not wait for what the server does not read
        client.send(sent)
        clients.append(client)
    try:
        yield clients
    finally:
        for client in clients:
            client.close()


@pytest.fixture(scope="module")
def impatient() -> Iterator[Server]:
    server = Server({"WRITE_TIMEOUT_SECONDS": "1", "KEEP_ALIVE_SECONDS": "5"}).wait_until_ready()
    yield server
    assert server.stop() == 0
    assert not logged(server, level="error")


def resident_mebibytes(server: Server) -> float:
    status = Path(f"/proc/{server.process.pid}/status").read_text(encoding="ascii")
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


def logged(server: Server, **fields: Any) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in list(server.lines) if line.startswith("{")]
    return [line for line in lines if fields.items() <= line.items()]


def has_ended(client: socket.socket) -> bool:
    """Return whether the server has closed a connection, even if some of its answer is still unread."""
    try:
        while client.recv(1 << 20):
            pass
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def test_unread_answers_cost_little_block_nobody_and_are_cut_off(start: Start) -> None:
    """Once, 64 clients that requested 1.5 MB six times each cost 198 MiB, and everybody else got 429."""
    server = start(WRITE_TIMEOUT_SECONDS="3", MAX_ACTIVE_REQUESTS="10")
    server.get("/docs/swagger-ui-bundle.js")
    before = resident_mebibytes(server)
    with unread(server, 64, ASSET * 6) as clients:
        eventually(lambda: server.metric("active_requests") == 64, "all wait for their clients")
        assert server.post("/predict", SAMPLE).status_code == 200
        assert resident_mebibytes(server) - before < 32
        eventually(lambda: server.metric("active_requests") == 0, "all are disconnected")
        eventually(lambda: all(map(has_ended, clients)), "their connections are closed")
    cause = "the client took nothing of the answer for 3 seconds"
    cut = {"route": "/docs/{asset}", "status": 200, "cause": cause}
    eventually(lambda: len(logged(server, **cut)) == 64, "64 lines say so")
    counted = server.metric("api_requests_total", endpoint="/docs/{asset}", status_code="200")
    assert counted == len(logged(server, route="/docs/{asset}", status=200))
    assert not logged(server, level="error")


def test_every_kind_of_answer_has_a_deadline(impatient: Server) -> None:
    with ExitStack() as stack:
        clients = {kind: stack.enter_context(unread(impatient, 2, sent)) for kind, sent in UNREAD.items()}
        for kind, waiting in clients.items():
            eventually(lambda waiting=waiting: all(map(has_ended, waiting)), kind)  # type: ignore[misc]
    eventually(lambda: impatient.metric("active_requests") == 0, "none is left")
    for route in ("/docs/{asset}", "/predict/batch"):
        cut = {"route": route, "status": 200, "cause": NOTHING_TAKEN}
        eventually(lambda cut=cut: logged(impatient, **cut), f"a line of {route} says so")  # type: ignore[misc]


def test_a_client_that_reads_now_and_then_has_one_deadline_for_the_whole(impatient: Server) -> None:
    with unread(impatient, 1, ASSET) as (client,):

        def sip() -> bool:
            try:
                return not client.recv(1024)
            except BlockingIOError:
                return False
            except OSError:
                return True

        eventually(sip, "it is disconnected")
    eventually(lambda: logged(impatient, route="/docs/{asset}", cause=NOT_DONE), "its line says why")


def test_a_slow_reader_gets_its_whole_answer(impatient: Server) -> None:
    identity = {"Accept-Encoding": "identity"}
    whole = impatient.get("/docs/swagger-ui-bundle.js").content
    with impatient.get("/docs/swagger-ui-bundle.js", headers=identity, stream=True) as answer:
        taken = b"".join(answer.iter_content(50_000))
    assert taken == whole
    assert int(answer.headers["content-length"]) == len(whole) > 1_000_000
    batch = impatient.post("/predict/batch", data=BATCH, headers={"Content-Type": "application/json"})
    assert len(batch.json()["predictions"]) == 900
    assert len(batch.content) > 65536


def test_pipelined_requests_wait_as_bytes(impatient: Server) -> None:
    """Kept as requests until they are answered, the 14,000 of one connection would take 15 MiB."""
    before = resident_mebibytes(impatient)
    ahead = ASSET + b"GET / HTTP/1.1\r\n\r\n" * 14_000
    with unread(impatient, 20, ahead):
        eventually(lambda: impatient.metric("active_requests") == 20, "each has a request in flight")
        assert resident_mebibytes(impatient) - before < 40
        assert impatient.get("/livez").status_code == 200
    eventually(lambda: impatient.metric("active_requests") == 0, "none is left")


def test_pipelined_requests_are_all_answered_in_order(impatient: Server) -> None:
    paths = ["/livez", "/readyz", "/nowhere", "/startupz"] * 500
    requested = b"".join(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode() for path in paths)
    with socket.create_connection(("127.0.0.1", impatient.port), timeout=30) as client:
        sending = threading.Thread(target=client.sendall, args=(requested + CLOSE,))
        sending.start()
        answers = b"".join(iter(lambda: client.recv(65536), b""))
        sending.join()
    statuses = [int(found) for found in re.findall(rb"HTTP/1\.1 (\d+)", answers)]
    assert statuses == [404 if path == "/nowhere" else 200 for path in paths] + [200]


def test_simultaneous_connections_replace_idle_ones(start: Start) -> None:
    server = start(MAX_CONNECTIONS="16")
    idle = []
    for _ in range(16):
        idle.append(socket.create_connection(("127.0.0.1", server.port)))
        idle[-1].sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle[-1].recv(4096).startswith(b"HTTP/1.1 200")
    # all are open before the first request
    new = [socket.create_connection(("127.0.0.1", server.port), timeout=30) for _ in range(10)]
    for client in new:
        client.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    assert all(client.recv(4096).startswith(b"HTTP/1.1 200") for client in new)
    for client in idle + new:
        client.close()


def test_a_new_connection_replaces_a_silent_one(start: Start) -> None:
    server = start(MAX_CONNECTIONS="16", WRITE_TIMEOUT_SECONDS="60")
    silent = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(40)]
    with requests.Session() as session, unread(server, 8, ASSET):
        for _ in range(20):
            assert session.post(f"{server.url}/predict", json=SAMPLE, timeout=10).status_code == 200
            for probe in ("/livez", "/readyz", "/metrics"):
                assert server.get(probe).status_code == 200
        assert server.metric("active_requests") == 8
        for client in silent:
            client.setblocking(False)
        eventually(lambda: sum(map(has_ended, silent)) >= 32, "the silent ones make room")
        with unread(server, 40, ASSET):
            eventually(
                lambda: server.metric("active_requests") >= 14, "only readers that do not read are left"
            )
            for probe in ("/livez", "/readyz", "/predict"):
                assert server.get(probe).status_code in (200, 405)
    for client in silent:
        client.close()
    eventually(lambda: server.metric("active_requests") == 0, "none is left")
    message = "connections closed"
    warned = eventually(lambda: logged(server, level="warning", message=message), "the log says so")
    assert warned[0]["connections"] > 0
    cause = "the connection made room for a newer one"
    eventually(lambda: logged(server, route="/docs/{asset}", cause=cause), "a request's line says so")
    assert not logged(server, level="error")


def test_a_request_whose_connection_makes_room_counts_as_shed(start: Start) -> None:
    """Its client gets no response: counted as 200, the objective would never miss it."""
    server = start(MAX_CONNECTIONS="8", FAULT_LATENCY_SECONDS="2")
    body = json.dumps(SAMPLE).encode()
    asked = POST.replace(b"/predict/batch", b"/predict") % len(body) + body
    with ExitStack() as stack:
        clients = []
        for _ in range(12):
            client = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=30))
            client.sendall(asked)
            eventually(lambda client=client: is_read(client), "the server has its request")  # type: ignore[misc]
            clients.append(client)
        got = [begin_of_response(client) for client in clients]
    assert got == [b""] * 4 + [b"HTTP/1.1 200"] * 8
    of_route = {"endpoint": "/predict"}
    eventually(lambda: server.metric("api_requests_total", **of_route) == 12, "all are counted")
    assert server.metric("api_requests_total", status_code="429", **of_route) == 4
    assert server.metric("api_requests_total", status_code="200", **of_route) == 8
    assert server.metric("api_errors_total", error_type="Overloaded", **of_route) == 4
    cause = "the connection made room for a newer one"
    assert len(logged(server, route="/predict", status=429, error="Overloaded", cause=cause)) == 4
    assert all("causes" not in line for line in logged(server, message="connections closed"))


def is_read(client: socket.socket) -> bool:
    """Return whether the server has read all that a client has sent, by the kernel's table of connections."""
    (_, server_port), (_, port) = client.getpeername(), client.getsockname()
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        _, local, remote, _, queues, *_ = line.split()
        if (local[9:], remote[9:]) == (f"{server_port:04X}", f"{port:04X}"):
            return queues.endswith(":00000000")
    return False


def begin_of_response(client: socket.socket) -> bytes:
    """Return the first bytes of a response, or nothing where the server closes the connection without any."""
    try:
        return client.recv(12)
    except ConnectionResetError:
        return b""
