"""Limits the connections of a process, and closes those whose clients do not read their responses.

uvicorn has no deadline for writing: a client that does not read keeps its connection, the response in memory
and its place among the in-flight requests for ever. One check a second of all connections costs a request
nothing.
"""

import logging
from dataclasses import dataclass
from time import monotonic
from typing import Any

from serving.turns import Turns

log = logging.getLogger("serving")

LONGEST = 6
"""A whole response may take this many times `write_seconds`."""

SEND_BUFFER = 64 * 1024
"""Bytes that the kernel buffers for a client that does not read; by default it takes megabytes."""

SILENT, IDLE, NEW, SLOW, BUSY = range(5)
"""State of a connection: never used, idle, new, waiting for its client, or waiting for us."""

NEW_SECONDS = 2
"""How long a connection may take to send a request before it counts as silent."""

Protocol = Any
"""uvicorn's protocol of one connection; its parsers share no type."""


@dataclass(slots=True)
class Waiting:
    """Last seen state of a response that waits for its client, and since when it is unchanged."""

    state: tuple[object, ...]
    since: float


class Connections(dict[Protocol, Waiting | None]):
    """Replaces uvicorn's set of connections, the oldest first; at the limit a new one replaces another."""

    def __init__(self, most: int, write_seconds: float, turns: Turns) -> None:
        super().__init__()
        self._most = most
        self._write_seconds = write_seconds
        self.turns = turns
        self._causes: list[str] = []
        self._closed = 0

    def add(self, protocol: Protocol) -> None:
        """Add a connection; at the limit, close the one that loses least."""
        if len(self) >= self._most:
            least = min(self, key=self._worth)
            loss = self._worth(least)
            least.connection.dropped = loss == BUSY
            self._abort(least, "the connection made room for a newer one" if loss >= SLOW else "")
            self._closed += 1
        self[protocol] = Waiting((), monotonic())

    def discard(self, protocol: Protocol) -> None:
        self.pop(protocol, None)

    def look(self) -> None:
        """Close connections whose clients do not read their responses; to be called once a second."""
        now = monotonic()
        self._log_closed()
        for protocol in list(self):
            if protocol.transport.get_write_buffer_size() == 0:
                if not self._is_new(protocol, now):
                    self[protocol] = None
            elif cause := self._overdue(protocol, now):
                self._abort(protocol, cause)

    def _overdue(self, protocol: Protocol, now: float) -> str | None:
        """Return why a response has waited too long for its client; None where it has not."""
        sending = protocol.connection.sending
        pieces, begun = (sending.pieces, sending.begun) if sending else (0, now)
        state = (protocol.transport.get_write_buffer_size(), protocol.cycle, pieces)
        waiting = self[protocol]
        if waiting is None or waiting.state != state:
            waiting = self[protocol] = Waiting(state, now)
        if now - waiting.since >= self._write_seconds:
            return f"the client took nothing of the answer for {self._write_seconds:g} seconds"
        if now - begun >= LONGEST * self._write_seconds:
            return f"the client had not taken the answer after {LONGEST * self._write_seconds:g} seconds"
        return None

    def _is_new(self, protocol: Protocol, now: float) -> bool:
        waiting = self[protocol]
        return waiting is not None and not waiting.state and now - waiting.since < NEW_SECONDS

    def _worth(self, protocol: Protocol) -> int:
        if protocol.cycle is None and self._is_new(protocol, monotonic()):
            return NEW
        return worth(protocol)

    def _abort(self, protocol: Protocol, cause: str) -> None:
        """Close a connection; the log line of its request has the cause, or a line without a request."""
        self.discard(protocol)
        if protocol.cycle and not protocol.cycle.response_complete:
            protocol.connection.cut = cause
        elif cause:
            self._causes.append(cause)
        protocol.transport.abort()

    def _log_closed(self) -> None:
        for cause in self._causes:
            log.info("connection closed", extra={"fields": {"cause": cause}})
        self._causes.clear()
        if self._closed:
            fields = {"connections": self._closed, "remedy": "set MAX_CONNECTIONS, or add replicas"}
            log.warning("connections closed, to make room for new ones", extra={"fields": fields})
            self._closed = 0


def worth(protocol: Protocol) -> int:
    """Return how much is lost by closing a connection: a silent one comes first."""
    cycle = protocol.cycle
    if cycle is None:
        return SILENT
    if cycle.response_complete:
        return SLOW if protocol.transport.get_write_buffer_size() else IDLE
    return SLOW if protocol.flow.write_paused or cycle.more_body else BUSY
