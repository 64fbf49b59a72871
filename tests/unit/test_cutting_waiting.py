"""The end of a drain cuts off who waits for a client, and nobody whose response is being made."""

import asyncio
import socket
from types import SimpleNamespace
from typing import Any

import pytest

from serving.request import Connection
from serving.settings import Settings
from serving.transport.connections import Connections
from serving.turns import Turns


class Waits(asyncio.Protocol):
    """A connection with a request that is whole and not answered yet."""

    held = 0
    transport: Any

    def __init__(self) -> None:
        self.cycle = SimpleNamespace(response_complete=False, more_body=False)
        self.flow = SimpleNamespace(write_paused=False)
        self.connection = Connection()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport


async def cut_off(*, more_body: bool = False, unread: bool = False, closing: bool = False) -> bool:
    connections: Any = Connections(Settings().connections, Turns(), SimpleNamespace(), SimpleNamespace())  # type: ignore[arg-type]
    ours, theirs = socket.socketpair()
    _, protocol = await asyncio.get_running_loop().create_connection(Waits, sock=ours)
    connections.add(protocol)
    protocol.cycle.more_body, protocol.flow.write_paused = more_body, unread
    if closing:  # after an answer that is not read, with another request behind it
        protocol.transport.write(bytes(10_000_000))
        protocol.transport.close()
    connections.cut_waiting()
    protocol.transport.abort()
    theirs.close()
    await asyncio.sleep(0)
    return protocol not in connections


@pytest.mark.parametrize("waits_for", ["more_body", "unread", "closing"])
def test_who_waits_for_a_client_is_cut_off(waits_for: str) -> None:
    assert asyncio.run(cut_off(**{waits_for: True}))


def test_who_waits_for_the_server_is_not_cut_off() -> None:
    assert not asyncio.run(cut_off())
