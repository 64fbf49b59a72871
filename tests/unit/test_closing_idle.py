"""A drain closes an idle connection only if nothing has arrived on it."""

import asyncio
import socket
from types import SimpleNamespace
from typing import Any

from serving.transport.draining import close_idle


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
