"""A drain closes an idle connection only if nothing has arrived on it, and all of its response is sent."""

import asyncio
import socket
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import uvloop

from serving.transport.draining import close_idle

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


class Idle(asyncio.Protocol):
    """A connection whose last response is complete."""

    cycle = SimpleNamespace(response_complete=True)
    timeout_keep_alive_task: Any = "runs"
    transport: Any

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, _data: bytes) -> None:
        self.cycle = SimpleNamespace(response_complete=False)


async def connected() -> tuple[Idle, socket.socket]:
    ours, theirs = socket.socketpair()
    theirs.settimeout(5)
    _, protocol = await asyncio.get_running_loop().create_connection(Idle, sock=ours)
    return protocol, theirs


async def drain_of_both() -> None:
    idle, client = await connected()
    asked, asking = await connected()
    asked.transport.pause_reading()  # the loop has other things to do
    asking.send(b"GET / HTTP/1.1\r\n\r\n")
    draining = asyncio.create_task(close_idle([idle, asked], 2))
    assert await asyncio.to_thread(client.recv, 1) == b""
    assert idle.transport.is_closing()
    assert not asked.transport.is_closing()
    asked.transport.resume_reading()
    await draining
    assert not asked.transport.is_closing(), "its request is in flight"
    asked.transport.close()
    client.close()
    asking.close()


def test_a_connection_on_which_a_request_has_arrived_stays_open() -> None:
    asyncio.run(drain_of_both())


async def drain_of_a_slow_reader(response: bytes) -> bytes:
    idle, client = await connected()
    idle.transport.write(response)
    assert idle.transport.get_write_buffer_size()
    await close_idle([idle], 2)
    assert idle.transport.is_closing()
    with client:
        return await asyncio.to_thread(read_all, client)


def read_all(client: socket.socket) -> bytes:
    received = b""
    while part := client.recv(65536):
        received += part
    return received


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_client_that_reads_slowly_gets_all_of_its_response(loop: LoopFactory) -> None:
    response = b"a" * (4 << 20)
    with asyncio.Runner(loop_factory=loop) as runner:
        assert runner.run(drain_of_a_slow_reader(response)) == response
