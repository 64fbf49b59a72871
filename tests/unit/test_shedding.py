"""A connection sheds a batch by itself where the queue is too long, and goes on with what follows."""

import asyncio
import json
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from uvicorn.server import ServerState

from bench.drive import MemoryTransport
from serving.app import create_app
from serving.server import server_config
from serving.settings import Settings
from serving.transport.connections import Connections
from serving.transport.guard import GuardedConnection
from serving.turns import ALWAYS_WAITING, Turns
from tests.harness import SAMPLE

ROW = json.dumps(SAMPLE).encode()
BATCH = json.dumps({"instances": [SAMPLE] * 100}).encode()


def post(path: str, body: bytes, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: x", "Content-Type: application/json", *headers]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


class Written(MemoryTransport):
    """Keeps what was written."""

    def __init__(self) -> None:
        super().__init__()
        self.content = b""
        self.closed = False

    def write(self, data: Any) -> None:
        self.content += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def can_write_eof(self) -> bool:
        return False

    def statuses(self) -> list[int]:
        return [int(part[:3]) for part in self.content.split(b"HTTP/1.1 ")[1:]]


async def queue_of(turns: Turns, number: int) -> list[asyncio.Task[None]]:
    """Have so many wait for their turn, and a turn behind them from which their time is expected."""

    async def large() -> None:
        turns.end(await turns.take(10_000))

    waiting = [asyncio.create_task(large()) for _ in range(number + 2)]
    while len(turns.waiting) != number or not turns.expected_seconds():  # noqa: ASYNC110  # one pass at a time
        await asyncio.sleep(0)
    return waiting


def answered(sent: bytes, waiting: int, most_seconds: float = 0.0) -> Written:
    """Return what a connection wrote at once to what was sent while so many wait, and then to the rest."""

    async def answer() -> Written:
        app = create_app(Settings(max_queue_seconds=0.001), CollectorRegistry())
        turns = app.state.lifecycle.turns
        turns._most_seconds = most_seconds  # noqa: SLF001
        state = ServerState()
        config = server_config(app, Settings())
        config.load()
        connections = Connections(Settings().connections, turns, app.state.connections, app.state.refusals)
        state.connections = connections  # type: ignore[assignment]  # used as a set
        transport = Written()
        connection = GuardedConnection(config, state, {})
        connection.connection_made(transport)
        tasks = await queue_of(turns, waiting)
        connection.data_received(sent)
        await asyncio.gather(*tasks)
        async with asyncio.timeout(30):
            while not transport.closed and connection.cycle and not connection.cycle.response_complete:  # noqa: ASYNC110
                await asyncio.sleep(0)
        return transport

    return asyncio.run(answer())


def test_a_batch_is_shed_behind_so_many_and_not_before() -> None:
    batch = post("/predict/batch", BATCH)
    assert answered(batch, ALWAYS_WAITING).statuses() == [429]
    assert answered(batch, ALWAYS_WAITING - 1).statuses() == [200]
    assert answered(batch, ALWAYS_WAITING, most_seconds=60).statuses() == [200]


def test_what_follows_on_the_connection_is_answered() -> None:
    sent = post("/predict/batch", BATCH) + post("/predict", ROW) + post("/predict/batch", BATCH)
    written = answered(sent, ALWAYS_WAITING)
    assert written.statuses()[:2] == [429, 200]
    assert not written.closed
    head, _, body = written.content.partition(b"\r\n\r\n")
    assert b"retry-after: 1\r\n" in head.lower() + b"\r\n"
    problem = json.loads(body[: int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])])
    assert problem["type"] == "urn:problem-type:Overloaded"
    assert problem["instance"] == "/predict/batch"
    assert f"x-request-id: {problem['request_id']}".encode() in head


@pytest.mark.parametrize(
    "sent",
    [
        post("/predict", ROW),
        post("/nowhere", BATCH),
        b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=["a row", "another path", "a probe"],
)
def test_nothing_else_is_shed(sent: bytes) -> None:
    assert answered(sent, ALWAYS_WAITING).statuses()[0] != 429


def test_only_the_body_of_a_shed_request_is_dropped() -> None:
    probe = b"GET /livez HTTP/1.1\r\nHost: x\r\nX-Padding: " + b"a" * 1000 + b"\r\n\r\n"
    large = b" " * 200_000
    sent = post("/nowhere", large) + probe * 300 + post("/predict/batch", large) + probe * 300
    statuses = answered(sent, ALWAYS_WAITING).statuses()
    assert statuses[:301] == [404] + [200] * 300
    assert set(statuses[302:]) == {200}
    assert len(statuses) == 602


def test_a_batch_that_waits_for_100_continue_is_shed_and_the_connection_closes() -> None:
    head = post("/predict/batch", BATCH, "Expect: 100-continue").partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    written = answered(head, ALWAYS_WAITING)
    assert written.statuses() == [429]
    assert b"connection: close" in written.content


def test_the_given_request_id_is_told() -> None:
    written = answered(post("/predict/batch", BATCH, "X-Request-ID: mine"), ALWAYS_WAITING)
    assert b"x-request-id: mine\r\n" in written.content
    assert b'"request_id":"mine"' in written.content
