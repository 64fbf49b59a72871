"""Stops accepting connections and closes idle ones so that as few requests as possible are lost.

A request that is on its way while its connection is closed is lost: HTTP/1.1 has no way to announce the end
of an idle connection. What has arrived is answered, and so is a request that has begun, or the first one of
a new connection. Whom the kernel has connected is accepted: a proxy that is refused asks another replica,
but one that is cut off must not send a prediction twice.
"""

import asyncio
import ctypes
import os
import select
import socket
import sys
from collections.abc import Collection, Sequence
from contextlib import suppress
from fcntl import ioctl
from struct import pack, unpack
from termios import FIONREAD
from time import monotonic

from serving.transport.connections import Connection

FIRST_REQUEST_SECONDS = 2
"""How long a connection may take to send a request that it has begun, or its first one."""

HANDSHAKE_SECONDS = 0.1
"""How long a client may take to finish connecting: on its side a connection stands before it does on ours."""

ACCEPT_SECONDS = 1
POLL_SECONDS = 0.02

SO_ATTACH_FILTER = 26
DROP_SYN = [
    (0x30, 0, 0, 13),  # load the byte of TCP's flags
    (0x54, 0, 0, 0x12),  # of which SYN and ACK
    (0x15, 0, 1, 0x02),  # is SYN set alone?
    (0x06, 0, 0, 0),  # yes: drop the packet
    (0x06, 0, 0, 0xFFFFFFFF),  # no: let it pass
]
"""A filter of Linux for a socket that listens: operation, two jumps, and operand of each instruction."""


def refuse_handshakes(listeners: Sequence[socket.socket]) -> None:
    """Let nobody begin to connect: who tries is refused as soon as all copies of a socket are closed.

    The kernel says nothing meanwhile, and a client tries again after a second. What is in the socket's queue
    can still be accepted. Elsewhere than on Linux this does nothing.
    """
    if sys.platform != "linux":
        return
    program = ctypes.create_string_buffer(b"".join(pack("HBBI", *instruction) for instruction in DROP_SYN))
    described = pack("HL", len(DROP_SYN), ctypes.addressof(program))
    for listener in listeners:
        with suppress(OSError):  # a sandbox may not know filters
            listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, described)


async def accept_waiting(listeners: Sequence[socket.socket]) -> None:
    """Let the loop accept the connections that wait in the sockets' queues; closing these resets them."""
    last = monotonic() + ACCEPT_SECONDS
    rounds_left = 2  # after the last is found: one accepts it, the other makes its transport
    while rounds_left:
        await asyncio.sleep(0)
        rounds_left = 2 if any_waits(listeners) and monotonic() < last else rounds_left - 1


def any_waits(listeners: Sequence[socket.socket]) -> bool:
    poll = select.poll()
    for listener in listeners:
        poll.register(listener, select.POLLIN)
    return bool(poll.poll(0))


async def close_idle(connections: Collection[Connection], most_seconds: float) -> None:
    """Close idle connections, each when it has nothing unread; return when all others are in flight."""
    deadline = monotonic() + min(FIRST_REQUEST_SECONDS, most_seconds)
    while monotonic() < deadline:
        between = [protocol for protocol in list(connections) if is_between_requests(protocol)]
        for protocol in between:
            if protocol.transport.is_closing():
                continue
            if is_idle(protocol) and not unread_bytes(protocol.transport):
                close(protocol.transport)
        if all(protocol.transport.is_closing() for protocol in between):
            return
        await asyncio.sleep(POLL_SECONDS)


def is_between_requests(protocol: Connection) -> bool:
    return protocol.cycle is None or protocol.cycle.response_complete


def is_idle(protocol: Connection) -> bool:
    """Return whether a response is complete and nothing has come since, which stops the timer."""
    return protocol.timeout_keep_alive_task is not None


def close(transport: asyncio.Transport) -> None:
    """Close a connection, and tell its client at once: the loop would do so after all else that is ready.

    A client that has not taken all of its last response gets the rest first.
    """
    descriptor = transport.get_extra_info("socket").fileno()
    if descriptor >= 0 and not transport.get_write_buffer_size():
        with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as copy:
            copy.shutdown(socket.SHUT_WR)
    transport.close()


def unread_bytes(transport: asyncio.Transport) -> int:
    """Return how many bytes of a connection the kernel holds for us."""
    descriptor = transport.get_extra_info("socket").fileno()
    return int(unpack("i", ioctl(descriptor, FIONREAD, bytes(4)))[0]) if descriptor >= 0 else 0
