"""What surrounds every request, as one pure ASGI layer: its id, its metrics, its log line, its failure."""

import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.errors import ApiError, InternalError, problem_response
from serving.logs import describe, write_line
from serving.metrics import UNMATCHED, HttpMetrics

log = logging.getLogger("serving")

SANE_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}")
QUIET_PATHS = frozenset({"/livez", "/readyz", "/startupz", "/metrics"})
"""Probes and scrapes: logged as debug, never among the active requests."""

CLOSE = ((b"connection", b"close"),)

CLIENT_CLOSED_REQUEST = 499
"""What is logged and counted where the client hung up before there was an answer (nginx's number)."""


class ClientGone(Exception):  # noqa: N818
    """The client hung up before its request was complete: there is nobody to answer."""


@dataclass(slots=True)
class Lifecycle:
    """What the process is busy with: requests being answered, and whether it is on its way out."""

    active: int = 0
    draining: bool = False


@dataclass(slots=True)
class RequestRecord:
    """What a request leaves behind for its log line, as scope["record"]."""

    request_id: str
    error_type: str | None = None
    fields: dict[str, Any] = field(default_factory=dict)


class Watch:
    """Gives each request an id, counts and times it, logs one line, and answers every exception.

    POST requests to the paths of `direct` go straight to what answers there, past routers and layers.
    """

    def __init__(
        self, app: ASGIApp, metrics: HttpMetrics, lifecycle: Lifecycle, direct: Mapping[str, ASGIApp]
    ) -> None:
        self._app = app
        self._direct = direct
        self._metrics = metrics
        self._lifecycle = lifecycle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif scope["path"] in QUIET_PATHS:
            await self._watch(scope, receive, send, quiet=True)
        else:
            self._lifecycle.active += 1
            self._metrics.active(1)
            try:
                await self._watch(scope, receive, send, quiet=False)
            finally:
                self._lifecycle.active -= 1
                self._metrics.active(-1)

    async def _watch(self, scope: Scope, receive: Receive, send: Send, *, quiet: bool) -> None:
        start = perf_counter()
        record = scope["record"] = RequestRecord(request_id(scope["headers"]))
        status = CLIENT_CLOSED_REQUEST

        async def watched_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                added = CLOSE if self._lifecycle.draining else ()
                identity = (b"x-request-id", record.request_id.encode("ascii"))
                message = {**message, "headers": [*message["headers"], identity, *added]}
            await send(message)

        app = self._direct.get(scope["path"], self._app) if scope["method"] == "POST" else self._app
        try:
            await app(scope, receive, watched_send)
        except ClientGone:
            record.fields["cause"] = "the client hung up before its request was complete"
        except Exception as error:
            if status != CLIENT_CLOSED_REQUEST:
                raise
            failure = error if isinstance(error, ApiError) else unexpected(error)
            record.error_type = failure.error_type
            record.fields |= {"error": failure.error_type, "cause": failure.cause}
            await problem_response(failure, scope["path"], record.request_id)(scope, receive, watched_send)
        self._finish(scope, record, status, perf_counter() - start, quiet=quiet)

    def _finish(
        self, scope: Scope, record: RequestRecord, status: int, seconds: float, *, quiet: bool
    ) -> None:
        method, endpoint = matched(scope)
        self._metrics.answered(method, endpoint, status, None if quiet else seconds)
        if record.error_type and not quiet:
            self._metrics.failed(record.error_type, endpoint)
        level = logging.DEBUG if quiet else logging.ERROR if status >= InternalError.status else logging.INFO
        if log.isEnabledFor(level):
            fields = {
                "request_id": record.request_id,
                "method": method,
                "route": endpoint,
                "status": status,
                "duration_ms": round(seconds * 1000, 3),
                **record.fields,
            }
            write_line(log, level, "request", fields)


def matched(scope: Scope) -> tuple[str, str]:
    """Return method and route template of a request, or the one pair for all that no route takes.

    A path without a route has none in the scope; a route that does not take the method is there, too.
    """
    route = scope.get("route")
    if route is None or scope["method"] not in route.methods:
        return UNMATCHED
    return scope["method"], route.path


def unexpected(error: Exception) -> InternalError:
    return InternalError(
        "The server failed to answer; its log tells more under this request id.", cause=describe(error)
    )


def request_id(headers: list[tuple[bytes, bytes]]) -> str:
    """Return the client's X-Request-ID where it is sane, else a random one."""
    for name, value in headers:
        if name == b"x-request-id" and SANE_REQUEST_ID.fullmatch(value):
            return value.decode("ascii")
    return os.urandom(16).hex()
