"""Limits what all connections of a process hold: how many there are, how long they wait, and their bodies.

uvicorn has no deadline for a request's head nor for writing: a client that sends nothing, or does not read,
keeps its connection, its memory and its place among the in-flight requests for ever. One check a second of
all connections costs a request nothing.
"""

import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from time import monotonic
from typing import Any, Protocol

from serving.errors import ApiError
from serving.metrics.connections import ConnectionMetrics, Reason
from serving.setting_groups import ConnectionLimits
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

BURST = 2
"""So many times `most` may be open for a second: of those that come at once none has sent a request yet."""

YOUNG_SECONDS = 1
"""How long a body may take before it makes room for others."""

Connection = Any
"""uvicorn's protocol of one connection; its parsers share no type."""

REMEDIES: dict[str, str] = {
    "replaced": "set MAX_CONNECTIONS, or add replicas",
    "memory": "set MAX_BUFFERED_BYTES, or add replicas",
}


@dataclass(slots=True)
class Waiting:
    """Last seen state of a response that waits for its client, and since when it is unchanged."""

    state: tuple[object, ...]
    since: float


class Refusals(Protocol):
    """Writes and counts the responses to requests that the application does not see."""

    @property
    def draining(self) -> bool:
        """Whether the process is to stop, and so answers no second request of a connection."""

    def reject(self, error: ApiError, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """Return the response to what has no route; the headers are those that were read of it."""

    def shed(self, scope: Any, *, close: bool) -> bytes | None:
        """Return the response to a prediction that there is no time for; None where it is none."""


class Connections(dict[Connection, Waiting | None]):
    """Replaces uvicorn's set of connections, the oldest first; at the limit a new one replaces another.

    `held` is how many bytes of requests that are not yet answered are kept, those of small ones excepted.
    """

    def __init__(
        self, limits: ConnectionLimits, turns: Turns, metrics: ConnectionMetrics, refusals: Refusals
    ) -> None:
        super().__init__()
        self.limits = limits
        self.turns = turns
        self.refusals = refusals
        self.held = 0
        self._metrics = metrics
        self._causes: set[str] = set()
        self._closed: Counter[str] = Counter()

    def add(self, protocol: Connection) -> None:
        """Add a connection; at the limit, close the one that loses least, unless it has just come."""
        if len(self) >= self.limits.most:
            least = self._least()
            young = self._worth(least) == NEW and len(self) < BURST * self.limits.most
            if not young:
                self._replace(least)
        self[protocol] = Waiting((), monotonic())

    def _least(self) -> Connection:
        """Return the connection that loses least if it is closed."""
        for protocol in self:
            if worth(protocol) == SILENT and not self._is_new(protocol, monotonic()):
                return protocol
        return min(self, key=self._worth)

    def _replace(self, least: Connection) -> None:
        loss = self._worth(least)
        least.connection.dropped = loss == BUSY
        self.abort(least, "replaced", "the connection made room for a newer one" if loss >= SLOW else "")

    def discard(self, protocol: Connection) -> None:
        self.pop(protocol, None)
        self.release(protocol)

    def hold(self, protocol: Connection, size: int) -> None:
        """Count bytes that are kept for a request; where all have too many, close the one that is slowest."""
        protocol.held += size
        self.held += size
        if self.held > self.limits.buffered_bytes:
            self._make_room(protocol)

    def release(self, protocol: Connection) -> None:
        self.held -= protocol.held
        protocol.held = 0

    def has_room(self, size: int) -> bool:
        """Return whether a body of so many bytes can be kept, without those that have been slow."""
        if self.held + size <= self.limits.buffered_bytes:
            return True
        now = monotonic()
        slow = sum(protocol.held for protocol in self if is_slow(protocol, now))
        room: int = self.limits.buffered_bytes - self.held + slow
        return size <= room

    def look(self) -> None:
        """Close connections that wait for their clients for too long; to be called once a second."""
        now = monotonic()
        if len(self) > self.limits.most:
            for protocol in sorted(self, key=self._worth)[: len(self) - self.limits.most]:
                self._replace(protocol)
        self._log_closed()
        self._metrics.set_open(len(self))
        self._metrics.set_limit(self.limits.most)
        for protocol in list(self):
            if protocol.transport.get_write_buffer_size() == 0:
                if not self._is_new(protocol, now):
                    self[protocol] = None
                protocol.check_pace(now)
            elif cause := self._overdue(protocol, now):
                self.abort(protocol, "unread_answer", cause)

    def count(self, reason: Reason) -> None:
        """Count a connection that is closed early; a log line a second says how many."""
        self._metrics.count_closed(reason)
        self._closed[reason] += 1

    def abort(self, protocol: Connection, reason: Reason, cause: str = "") -> None:
        """Close a connection at once and count it; its request's log line has the cause, or a common one."""
        self.count(reason)
        self._cut(protocol, cause)

    def cut_waiting(self) -> None:
        """Close the connections that wait for their clients, at the end of a drain."""
        for protocol in list(self):
            if protocol.transport.is_closing() or worth(protocol) != BUSY:
                self._cut(protocol, "the server stopped before its client had sent or read all")

    def _cut(self, protocol: Connection, cause: str) -> None:
        self.discard(protocol)
        if protocol.cycle and not protocol.cycle.response_complete:
            protocol.connection.cut = cause
        elif cause:
            self._causes.add(cause)
        protocol.transport.abort()

    def _make_room(self, newest: Connection) -> None:
        now = monotonic()
        slow = [protocol for protocol in self if is_slow(protocol, now)]
        slowest = min(slow, key=lambda protocol: protocol.begun, default=newest)
        slowest.connection.dropped = True
        self.abort(slowest, "memory", "the request's body made room for others")

    def _overdue(self, protocol: Connection, now: float) -> str | None:
        """Return why a response has waited too long for its client; None where it has not."""
        sending = protocol.connection.sending
        pieces, begun = (sending.pieces, sending.begun) if sending else (0, now)
        state = (protocol.transport.get_write_buffer_size(), protocol.cycle, pieces)
        waiting, seconds = self[protocol], self.limits.write_seconds
        if waiting is None or waiting.state != state:
            waiting = self[protocol] = Waiting(state, now)
        if now - waiting.since >= seconds:
            return f"the client took nothing of the answer for {seconds:g} seconds"
        if now - begun >= LONGEST * seconds:
            return f"the client had not taken the answer after {LONGEST * seconds:g} seconds"
        return None

    def _is_new(self, protocol: Connection, now: float) -> bool:
        waiting = self[protocol]
        return waiting is not None and not waiting.state and now - waiting.since < NEW_SECONDS

    def _worth(self, protocol: Connection) -> int:
        if protocol.cycle is None and self._is_new(protocol, monotonic()):
            return NEW
        return worth(protocol)

    def _log_closed(self) -> None:
        if self._closed:
            fields: dict[str, object] = {"connections": self._closed.total(), "reasons": dict(self._closed)}
            if self._causes:
                fields["causes"] = sorted(self._causes)
            remedies = [REMEDIES[reason] for reason in self._closed if reason in REMEDIES]
            if remedies:
                fields["remedy"] = "; ".join(remedies)
            log.log(
                logging.WARNING if remedies else logging.INFO, "connections closed", extra={"fields": fields}
            )
            self._closed.clear()
            self._causes.clear()


def is_slow(protocol: Connection, now: float) -> bool:
    """Return whether the rest of a body has been due for long enough to make room for others."""
    awaits: bool = protocol.awaits_body() and now - protocol.begun >= YOUNG_SECONDS
    return awaits


def worth(protocol: Connection) -> int:
    """Return how much is lost by closing a connection: a silent one comes first."""
    cycle = protocol.cycle
    if cycle is None:
        return SILENT
    if cycle.response_complete:
        return SLOW if protocol.transport.get_write_buffer_size() else IDLE
    return SLOW if protocol.flow.write_paused or cycle.more_body else BUSY
