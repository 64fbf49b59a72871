"""One ASGI layer around every request: request id, metrics, access log, and an answer to every exception."""

import logging
import re
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from random import getrandbits
from time import monotonic, perf_counter
from typing import Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.errors import ApiError, InternalError, Overloaded, ValidationError, problem_response
from serving.http import tracing
from serving.http.compression import SMALLEST, coded
from serving.http.cors import CrossOrigin
from serving.http.public_address import NO_PREFIX, PublicAddress
from serving.http.security_headers import NOSNIFF, Header, guarded
from serving.logs import describe_exception, write_line
from serving.metrics.http import UNMATCHED, HttpMetrics
from serving.request import ClientGone, Connection, Lifecycle, RequestRecord, Sending

log = logging.getLogger("serving")

SANE_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")
QUIET_PATHS = frozenset({"/livez", "/readyz", "/startupz", "/metrics"})
"""Probes and scrapes."""

LISTS = frozenset(
    {b"accept", b"accept-encoding", b"content-encoding"}
    | {b"x-forwarded-host", b"x-forwarded-prefix", b"x-forwarded-proto"}
)
"""Headers that are read and whose value is a list; of any other that is sent twice, the last counts."""

JSON = (b"content-type", b"application/json")
CLOSE = (b"connection", b"close")

PIECE = 64 * 1024
"""Bytes of a response that are written at once; the rest waits until the client has read most of them."""

MOST_QUERY_BYTES = 1024
"""A longer query is not parsed: each parameter costs time, and no valid query is so long."""

HEAD = "HEAD"
UNTIMED = frozenset({HEAD, "OPTIONS"})
"""Methods that are counted, without a duration of their own."""

OK = 200
FIRST_ERROR = 400
CLIENT_CLOSED_REQUEST = 499
"""Status in logs and metrics of a request whose client disconnected before the response (as nginx has it)."""


INCOMPLETE = frozenset({408, CLIENT_CLOSED_REQUEST})
"""Statuses of requests whose last byte never came, if it did not: their client took the time."""


Route = tuple[str, str]
"""Method and route template."""


class DirectEndpoint(Protocol):
    """Answers requests to one path itself, without routers and layers: it turns a body into JSON."""

    path: str
    route: Route

    async def respond(self, record: RequestRecord, receive: Receive) -> bytes: ...

    def count_shed(self) -> None:
        """Count a request that is answered without this endpoint: there is no time for it."""


class PrometheusMiddleware:
    """Gives each request an id, counts and times it, logs one line, and answers every exception.

    A request takes from the arrival of its last byte until its response was sent, less the time that its
    client took to read. One that gets an error is counted and not timed: errors are fast, and would hide slow
    predictions among them. One whose client gave up is timed. HEAD requests and
    preflights are counted and not timed.

    POST requests to a path of `direct` bypass FastAPI's routers and layers: its endpoint answers them here.
    Requests to `quiet` paths are logged at level debug and do not count as in flight. Paths are those of the
    routes, to which `address` may add a prefix.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: HttpMetrics,
        lifecycle: Lifecycle,
        direct: Mapping[str, DirectEndpoint],
        *,
        quiet: AbstractSet[str] = QUIET_PATHS,
        address: PublicAddress = NO_PREFIX,
        cors: CrossOrigin | None = None,
    ) -> None:
        self._app = app
        self.direct = direct
        self._address = address
        self._cors = cors
        self._quiet = quiet
        self._metrics = metrics
        self._lifecycle = lifecycle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = perf_counter()
        record = scope["record"] = new_record(scope)
        connection = record.connection
        endpoint, quiet = self.direct.get(scope["path"]) if scope["method"] == "POST" else None, False
        if endpoint is None:
            endpoint, quiet = self._locate(scope)
        if not quiet:
            self._lifecycle.active += 1
            self._metrics.add_active(1)
        try:
            if endpoint is None:
                status, route = await self._route(scope, receive, send, record)
            else:
                route = endpoint.route
                status = await self._answer(endpoint, scope, receive, send, record)
        finally:
            if not quiet:
                self._lifecycle.active -= 1
                self._metrics.add_active(-1)
        if connection.cut:
            status = cut_status(record, status)
        arrived = scope.get("arrived")
        timed = not quiet and route[0] not in UNTIMED
        if arrived is None:
            arrived = start
            timed &= status not in INCOMPLETE
        elif arrived < start:
            record.queued += start - arrived
        seconds = perf_counter() - arrived
        if record.client_seconds:
            seconds = max(0.0, seconds - record.client_seconds)
        self._finish(route, record, status, seconds, quiet=quiet, timed=timed)

    def _locate(self, scope: Scope) -> tuple[DirectEndpoint | None, bool]:
        """Return what answers past FastAPI, if anything, and whether the request is quiet."""
        path = self._address.locate(scope)
        return self.direct.get(path) if scope["method"] == "POST" else None, path in self._quiet

    async def _answer(
        self, endpoint: DirectEndpoint, scope: Scope, receive: Receive, send: Send, record: RequestRecord
    ) -> int:
        """Have the endpoint answer, and return the status."""
        try:
            content = await endpoint.respond(record, receive)
            if record.turn:
                self._lifecycle.turns.end(record.turn)
        except Exception as error:  # noqa: BLE001  # each has an answer
            self._address.show(endpoint.path, scope)
            return await self._answer_error(error, scope, receive, send, record)
        coding: tuple[Header, ...] = ()
        if len(content) >= SMALLEST:
            content, coding = coded(content, record.headers.get(b"accept-encoding", b""))
        headers = [(b"content-length", b"%d" % len(content)), JSON, *coding, *self._common_headers(record)]
        begun = perf_counter() if record.connection.pipelined else 0.0
        try:
            await send({"type": "http.response.start", "status": OK, "headers": headers})
            if begun:  # it has waited until the last response was read
                record.client_seconds += perf_counter() - begun
            if len(content) > PIECE:
                await self._send_pieces(send, content, record, more=False)
            else:
                await send({"type": "http.response.body", "body": content})
        except Exception as error:  # noqa: BLE001
            raise_unless_disconnected(error, record, send)
        return OK

    async def _send_pieces(self, send: Send, content: bytes, record: RequestRecord, *, more: bool) -> None:
        """Send a large part of a response piece by piece, as fast as the client reads."""
        view = memoryview(content)
        sending = record.connection.sending = record.connection.sending or Sending(monotonic())
        self._lifecycle.sending += 1
        try:
            for place in range(0, len(view), PIECE):
                last = place + PIECE >= len(view) and not more
                piece = view[place : place + PIECE]
                begun = perf_counter()
                await send({"type": "http.response.body", "body": piece, "more_body": not last})
                record.client_seconds += perf_counter() - begun
                sending.pieces += 1
        finally:
            self._lifecycle.sending -= 1
            record.connection.sending = None

    async def _route(
        self, scope: Scope, receive: Receive, send: Send, record: RequestRecord
    ) -> tuple[int, Route]:
        """Have FastAPI's layers and routes answer, and return the status and the route."""
        routed = as_get(scope) if scope["method"] == HEAD else scope
        status = await self._answer_routed(routed, receive, send, record)
        return status, matched(routed, scope["method"])

    async def _answer_routed(self, scope: Scope, receive: Receive, send: Send, record: RequestRecord) -> int:
        status = 0

        async def send_monitored(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {
                    **message,
                    "headers": guarded([*message["headers"], *self._common_headers(record)]),
                }
            elif len(message.get("body", b"")) > PIECE:
                more = message.get("more_body", False)
                await self._send_pieces(send, message["body"], record, more=more)
                return
            await send(message)

        try:
            self._limit_parsing(scope, record)
            await self._app(scope, receive, send_monitored)
        except Exception as error:  # noqa: BLE001  # each has an answer, or is raised
            if status:
                raise_unless_disconnected(error, record, send)
                return status
            return await self._answer_error(error, scope, receive, send, record)
        return status or CLIENT_CLOSED_REQUEST

    def _limit_parsing(self, scope: Scope, record: RequestRecord) -> None:
        """Keep cookies and long queries from the routers, which would parse them for nothing."""
        check_query(record.query)
        if b"cookie" in record.headers:
            scope["headers"] = [header for header in scope["headers"] if header[0] != b"cookie"]

    async def _answer_error(
        self, error: Exception, scope: Scope, receive: Receive, send: Send, record: RequestRecord
    ) -> int:
        """Answer with the problem document of an error, and return the status."""
        if isinstance(error, ClientGone):
            if not record.connection.cut:
                record.log.add(cause="the client disconnected before its request was complete")
            return CLIENT_CLOSED_REQUEST
        failure = error if isinstance(error, ApiError) else unexpected(error)
        record.error_type = failure.error_type
        record.log.add(error=failure.error_type, cause=failure.cause)
        response = problem_response(failure, scope["path"], record.request_id)
        response.raw_headers += (NOSNIFF, *self._common_headers(record))
        try:
            await response(scope, receive, send)
        except Exception as broken:  # noqa: BLE001
            raise_unless_disconnected(broken, record, send)
        return failure.status

    def _common_headers(self, record: RequestRecord) -> tuple[tuple[bytes, bytes], ...]:
        """Return the headers of every response."""
        identity = (b"x-request-id", record.request_id.encode("ascii"))
        common = (identity, CLOSE) if self._lifecycle.draining else (identity,)
        return common if self._cors is None else (*common, *self._cors.headers(record.headers))

    def _finish(
        self, route: Route, record: RequestRecord, status: int, seconds: float, *, quiet: bool, timed: bool
    ) -> None:
        method, endpoint = route
        answered = status < FIRST_ERROR or status == CLIENT_CLOSED_REQUEST
        self._metrics.count_response(route, status, seconds if timed and answered else None, record.trace_id)
        if timed:
            self._metrics.observe_queue(record.queued)
        if record.error_type and not quiet:
            self._metrics.count_error(record.error_type, endpoint)
        level = logging.DEBUG if quiet else logging.ERROR if status >= InternalError.status else logging.INFO
        if log.isEnabledFor(level):
            if record.trace_id:
                record.log.add(trace_id=record.trace_id)
            identity = f'"request_id":"{record.request_id}","method":"{method}","route":"{endpoint}"'
            outcome = f'"status":{status:d},"duration_ms":{seconds * 1000:.3f}'
            write_line(log, level, "request", record.log.after(f"{identity},{outcome}"))


def raise_unless_disconnected(error: Exception, record: RequestRecord, send: Send) -> None:
    """Raise what broke a response, unless the connection was cut or the client has disconnected.

    Of pipelined requests, uvicorn tells only the last that its connection has ended.
    """
    answering = getattr(send, "__self__", None)
    transport = getattr(answering, "transport", None)
    ended = transport is not None and transport.is_closing()
    if not ended and not record.connection.cut:
        raise error
    if answering is not None and hasattr(answering, "disconnected"):
        answering.disconnected = True


def cut_status(record: RequestRecord, status: int) -> int:
    """Log why the connection was cut, and return the status that the request counts as.

    A request that was dropped to make room for another got no response, whatever was made for it.
    """
    cause, record.connection.cut = record.connection.cut, ""
    if record.error_type:  # its line has another cause
        return status
    if not record.connection.dropped:
        record.log.add(cause=cause)
        return status
    record.error_type = Overloaded.__name__
    record.log.add(error=record.error_type, cause=cause)
    return Overloaded.status


def new_record(scope: Scope) -> RequestRecord:
    """Return the record of a request that begins."""
    sent = scope["headers"]
    headers = dict(sent)
    if len(headers) < len(sent):
        headers |= joined(sent)
    try:
        connection = scope["state"]["connection"]
    except KeyError:  # of another server
        connection = Connection()
    record = RequestRecord(request_id(headers), headers, scope["query_string"], connection)
    if tracing.NAME in headers:
        record.trace_id = tracing.trace_id(sent)
    return record


def joined(headers: Iterable[Header]) -> dict[bytes, bytes]:
    """Return the values of each list, which may stand in several headers (RFC 9110, 5.3)."""
    lists: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in LISTS:
            lists[name] = lists[name] + b", " + value if name in lists else value
    return lists


def as_get(scope: Scope) -> Scope:
    """Return the request that a HEAD request asks about: the server sends the head of its response alone."""
    return {**scope, "method": "GET"}


def matched(routed: Scope, method: str) -> Route:
    """Return method and route template of a request; UNMATCHED where no route takes it.

    What was routed has no route for an unknown path, and has one for a known path with another method.
    """
    route = routed.get("route")
    if route is None or routed["method"] not in route.methods:
        return UNMATCHED
    return method, route.path


def check_query(query: bytes) -> None:
    """Raise ValidationError for a query that is too long to parse."""
    if len(query) > MOST_QUERY_BYTES:
        raise ValidationError(f"The query has {len(query)} bytes; send {MOST_QUERY_BYTES} at most.")


def unexpected(error: Exception) -> InternalError:
    return InternalError(
        "The server failed; its log has the cause under this request id.",
        cause=describe_exception(error),
    )


def request_id(headers: Mapping[bytes, bytes]) -> str:
    """Return the client's X-Request-ID if it is short and printable, else a random one."""
    given = headers.get(b"x-request-id")
    if given is not None and SANE_REQUEST_ID.fullmatch(given):
        return given.decode("ascii")
    return f"{getrandbits(128):032x}"
