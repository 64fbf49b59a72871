"""Refuses what no route should see: heads that are too large or too slow, what is no HTTP, and load.

A request that is refused here costs a fraction of one that passes through the application, and nothing of
what it sends is kept.
"""

import asyncio
from collections.abc import Iterable
from time import monotonic
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from serving.errors import ApiError, HeadTooLarge, MalformedRequest, Timeout
from serving.metrics.connections import Reason
from serving.request import SMALL_BODY, content_length
from serving.transport.connections import Refusals
from serving.transport.pipelining import PIECE, BoundedPipeline

MOST_HEAD_BYTES = 64 * 1024
MOST_HEADERS = 100

CHUNKED, UNKNOWN = -1, -2
UNBOUNDED = (CHUNKED, UNKNOWN)
"""What stands for the length of a body whose framing has none itself, nor has a head that is not complete."""

LINGER_SECONDS = 2
"""How long a refused client may go on sending: were the connection closed, it could not read why."""

MOST_UNREAD_BYTES = 4 * 1024 * 1024
"""How much of what a refused or answered client still sends is read, and dropped."""


class GuardedConnection(BoundedPipeline):
    """A connection whose requests have limits before the application sees them.

    `begun` is when the head of the last request that came in pieces did, by monotonic(). What comes beside a
    body, in heads, trailers and extensions of chunks, is bounded together: the parser joins its pieces.
    """

    begun = 0.0
    _watched: Any = None
    _bytes_beside_body = 0
    _unread_bytes = 0
    _last_response = b""
    _lingers = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(transport)
        self.begun = monotonic()

    def limit_unfinished(self, size: int) -> None:
        scope: Any = self.scope
        if scope is None or self.closed:
            return
        if self._watched is not scope:
            self._watched, self.begun = scope, monotonic()
            self._bytes_beside_body = self._unread_bytes = 0
        self._bytes_beside_body += size
        declared = body_size(self.headers) if "method" in scope else UNKNOWN
        beside = self._bytes_beside_body if declared in UNBOUNDED else 0
        if len(self.headers) > MOST_HEADERS or beside > MOST_HEAD_BYTES:
            self._refuse(too_large(), "large_head")
        elif declared == UNKNOWN:
            return
        elif self.cycle.response_complete:
            self.to_drop -= size
            self._unread_bytes += size
            if self._unread_bytes > MOST_UNREAD_BYTES:
                self._abort("unread_body")
        elif declared == CHUNKED:
            self.connections.hold(self, size)
        elif not self.held:
            self.connections.hold(self, min(declared, self.connections.limits.buffered_bytes // 4))

    def on_body(self, body: bytes) -> None:
        self._bytes_beside_body = 0
        super().on_body(body)

    def awaits_body(self) -> bool:
        """Return whether the rest of a body is to come."""
        return bool(self.held and self.cycle.more_body and not self.cycle.response_complete)

    def check_pace(self, now: float) -> None:
        """Close the connection where a request takes too long to begin, or its body never ends."""
        if self.closed or self.transport.is_closing():
            return
        scope: Any = self.scope
        cycle, seconds = self.cycle, self.connections.limits.head_seconds
        late = now - self.begun > seconds
        if scope is None:
            if late:
                self._abort("silent")
        elif scope is self._watched and "method" not in scope:
            if late:
                self._refuse(Timeout(f"The head was not complete after {seconds:g} seconds."), "slow_head")
        elif cycle.response_complete and cycle.more_body:
            if late:
                self._abort("unread_body")
        elif cycle.response_complete and self.timeout_keep_alive_task is None:  # line ends alone have come
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # uvicorn's words are fewer
        self._refuse(MalformedRequest("The request is not HTTP/1.1 as this server reads it."), "malformed")

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        connections = self.connections
        headers: Any = cycle.scope["headers"]  # those of `self.headers` may be a later request's
        if (connections.held or connections.turns.waiting) and self._shed(cycle):
            return
        if len(headers) > MOST_HEADERS:
            cycle.keep_alive = False
            self._answer(cycle, connections.refusals.reject(too_large(), headers), body_size(headers))
        else:
            if cycle.waiting_for_100_continue:
                expect_body(cycle, self)
            task = self.loop.create_task(cycle.run_asgi(app))
            task.add_done_callback(self.tasks.discard)
            self.tasks.add(task)

    def _shed(self, cycle: RequestResponseCycle) -> bool:
        """Answer a large request that would wait too long, or whose body has no room; return whether."""
        scope, connections = cycle.scope, self.connections
        size = body_size(scope["headers"])
        if scope["method"] != "POST" or (0 <= size <= SMALL_BODY and not scope["query_string"]):
            return False
        least = max(size, SMALL_BODY)
        if not connections.turns.too_long() and connections.has_room(least):
            connections.turns.expect(least)
            return False
        refusals: Refusals = connections.refusals
        cycle.keep_alive &= not (cycle.waiting_for_100_continue or refusals.draining)
        answer = refusals.shed(scope, close=not cycle.keep_alive)
        if answer is None:
            return False
        self._answer(cycle, answer, size)
        return True

    def _answer(self, cycle: RequestResponseCycle, content: bytes, size: int) -> None:
        """Answer a request whose body, of so many bytes, is dropped."""
        self.begun, self._watched, self._unread_bytes = monotonic(), cycle.scope, 0
        self.to_drop = size - len(cycle.body) - PIECE  # as much may have come with the head
        cycle.response_started = cycle.response_complete = True
        self.transport.write(content)
        if cycle.keep_alive:
            self.on_response_complete()
        else:
            self._linger()

    def _refuse(self, error: ApiError, reason: Reason) -> None:
        """Answer what is not read any further, after the requests before it, and close the connection."""
        cycle = self.cycle
        unfinished = cycle is not None and cycle.more_body and cycle.scope is self.scope
        if unfinished and (cycle.response_started or self.pipeline):
            self._abort(reason)
            return
        self.closed = True
        self.connections.count(reason)
        scope: Any = self.scope
        read = self.headers if unfinished or (scope and "method" not in scope) else []
        self._last_response = self.connections.refusals.reject(error, read)
        if unfinished:  # its application is still reading
            cycle.disconnected = True
            cycle.message_event.set()
        if unfinished or cycle is None or cycle.response_complete:
            self.close_refused()

    def close_after_response(self) -> None:
        """Read nothing more, and close the connection when the response is complete."""
        self.closed = True

    def close_refused(self) -> None:
        if self._lingers or self.transport.is_closing():
            return
        self.transport.write(self._last_response)
        self._linger()

    def _abort(self, reason: Reason) -> None:
        self.closed = True
        self.connections.abort(self, reason, "what its client sent next was rejected")

    def _linger(self) -> None:
        self.closed = self._lingers = True
        self._unset_keepalive_if_required()
        self.flow.resume_reading()
        self.transport.set_protocol(Lingering(self))


class ExpectingCycle(RequestResponseCycle):
    """A request whose client waits for `100 Continue` before it sends the body (RFC 9110, 10.1.1).

    A final response in its place lets the client keep the body, or send it: only a closed connection is
    understood by both.
    """

    protocol: GuardedConnection

    async def send(self, message: Any) -> None:
        if not (self.waiting_for_100_continue and self.more_body):
            await super().send(message)
            return
        self.keep_alive = False
        self.protocol.close_after_response()
        await super().send(message)
        self.keep_alive = True  # else uvicorn closes at once, and a client that sends cannot read why


def expect_body(cycle: RequestResponseCycle, protocol: GuardedConnection) -> None:
    """Have a request's connection close where its body is not asked for; HTTP/1.0 cannot ask."""
    if cycle.scope["http_version"] == "1.0":
        cycle.waiting_for_100_continue = False
    else:
        cycle.__class__ = ExpectingCycle
        cast("ExpectingCycle", cycle).protocol = protocol


class Lingering(asyncio.Protocol):
    """Drops what a refused client still sends, until it has read the response and closes."""

    def __init__(self, refused: GuardedConnection) -> None:
        self._refused = refused
        self._left = MOST_UNREAD_BYTES
        transport = refused.transport
        if transport.can_write_eof():
            transport.write_eof()
        self._end = refused.loop.call_later(LINGER_SECONDS, transport.abort)

    def data_received(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0:
            self._refused.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end.cancel()
        self._refused.connection_lost(exc)


def too_large() -> HeadTooLarge:
    return HeadTooLarge(f"The head may have {MOST_HEAD_BYTES} bytes and {MOST_HEADERS} headers at most.")


def body_size(headers: Iterable[tuple[bytes, bytes]]) -> int:
    """Return the length that a head declares: 0 without a body, or CHUNKED."""
    for name, value in headers:
        if name == b"content-length":
            return content_length(value)
        if name == b"transfer-encoding":
            return CHUNKED
    return 0
