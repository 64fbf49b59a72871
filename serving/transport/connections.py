"""Connections of a process: bounded in number, and cut where the client does not take its answer.

uvicorn writes an answer and knows no deadline for it: a client that does not read keeps its connection, what
is written to it, and its place among the active requests for ever. Looking at all connections once a second
costs a request nothing.
"""

import logging
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # at run time it would import prometheus_client, which `serving.server` is careful about
    from serving.request import Lifecycle

log = logging.getLogger("serving")

LONGEST = 6
"""Deadlines for progress that a whole answer may take."""

SEND_BUFFER = 64 * 1024
"""What the kernel is asked to hold for a client that does not read, where it would take megabytes."""

SILENT, IDLE, NEW, SLOW, BUSY = range(5)
"""What a connection is doing: nothing yet, nothing now, about to ask, waiting for its client, or for us."""

NEW_SECONDS = 2
"""How long a connection may take to ask for something before it counts as silent."""

Protocol = Any
"""uvicorn's of one connection, which has no type that all of its parsers share."""


@dataclass(slots=True)
class Waiting:
    """What was last seen of an answer that waits for its client, and since when that has not changed."""

    state: tuple[object, ...]
    since: float


class Connections(dict[Protocol, Waiting | None]):
    """What uvicorn keeps as a set of connections, the oldest first; a new one takes the place of another."""

    def __init__(self, most: int, write_seconds: float, lifecycle: "Lifecycle") -> None:
        super().__init__()
        self._most = most
        self._write_seconds = write_seconds
        self._lifecycle = lifecycle
        self._closed = 0

    def add(self, protocol: Protocol) -> None:
        """Take up a connection. Where there are too many, the one is closed that is missed least."""
        if len(self) >= self._most:
            least = min(self, key=self._worth)
            if self._worth(least) >= SLOW:
                self._lifecycle.cut[least.client] = "the connection made room for a newer one"
            self._abort(least)
            self._closed += 1
        self[protocol] = Waiting((), monotonic())

    def discard(self, protocol: Protocol) -> None:
        self.pop(protocol, None)

    def look(self) -> None:
        """Cut the connections whose clients do not take their answers; to be called once a second."""
        now = monotonic()
        self._tell()
        for protocol in list(self):
            if protocol.transport.get_write_buffer_size() == 0:
                if not self._is_new(protocol, now):
                    self[protocol] = None
            elif cause := self._overdue(protocol, now):
                self._lifecycle.cut[protocol.client] = cause
                self._abort(protocol)

    def _overdue(self, protocol: Protocol, now: float) -> str | None:
        """Return why a client has waited too long with its answer; None where it has not."""
        sending = self._lifecycle.sending.get(protocol.client)
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

    def _abort(self, protocol: Protocol) -> None:
        self.discard(protocol)
        protocol.transport.abort()

    def _tell(self) -> None:
        """Log what was closed without a request whose line could say it."""
        for cause in self._lifecycle.cut.values():
            log.info("connection closed", extra={"fields": {"cause": cause}})
        self._lifecycle.cut.clear()
        if self._closed:
            fields = {"connections": self._closed, "remedy": "set MAX_CONNECTIONS, or add replicas"}
            log.warning("connections closed, to make room for new ones", extra={"fields": fields})
            self._closed = 0


def worth(protocol: Protocol) -> int:
    """Return how much is lost with a connection: one that has asked for nothing yet comes first."""
    cycle = protocol.cycle
    if cycle is None:
        return SILENT
    if cycle.response_complete:
        return SLOW if protocol.transport.get_write_buffer_size() else IDLE
    return SLOW if protocol.flow.write_paused or cycle.more_body else BUSY
