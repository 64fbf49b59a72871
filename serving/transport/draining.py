"""Closes idle connections so that as few requests as possible are lost.

A request that is on its way while its connection is closed is lost: HTTP/1.1 has no way to announce the end
of an idle connection. What has arrived is answered, and so is a request that has begun, or the first one of
a new connection.
"""

import asyncio
from collections.abc import Collection
from fcntl import ioctl
from struct import unpack
from termios import FIONREAD
from time import monotonic

from serving.transport.connections import Connection

FIRST_REQUEST_SECONDS = 2
"""How long a connection may take to send a request that it has begun, or its first one."""

POLL_SECONDS = 0.02


async def accept_waiting() -> None:
    """Let the loop accept the connections that wait in the sockets' queues; closing these resets them."""
    for _ in range(2):  # one round finds them, the other accepts them
        await asyncio.sleep(0)


async def close_idle(connections: Collection[Connection], most_seconds: float) -> None:
    """Close idle connections, each when it has nothing unread; return when all others are in flight."""
    deadline = monotonic() + min(FIRST_REQUEST_SECONDS, most_seconds)
    while monotonic() < deadline:
        between = [protocol for protocol in list(connections) if is_between_requests(protocol)]
        for protocol in between:
            if is_idle(protocol) and not unread_bytes(protocol.transport):
                protocol.transport.close()
        if all(protocol.transport.is_closing() for protocol in between):
            return
        await asyncio.sleep(POLL_SECONDS)


def is_between_requests(protocol: Connection) -> bool:
    return protocol.cycle is None or protocol.cycle.response_complete


def is_idle(protocol: Connection) -> bool:
    """Return whether a response is complete and nothing has come since, which stops the timer."""
    return protocol.timeout_keep_alive_task is not None


def unread_bytes(transport: asyncio.Transport) -> int:
    """Return how many bytes of a connection the kernel holds for us."""
    descriptor = transport.get_extra_info("socket").fileno()
    return int(unpack("i", ioctl(descriptor, FIONREAD, bytes(4)))[0]) if descriptor >= 0 else 0
