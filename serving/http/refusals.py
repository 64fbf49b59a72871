"""Responses to requests that are refused before the application sees them, written and counted."""

from collections.abc import Iterable, Mapping
from typing import Any

from serving.errors import PROBLEM_JSON, ApiError, Overloaded, problem_json
from serving.http.admission import too_long
from serving.http.cors import CrossOrigin
from serving.http.middleware import DirectEndpoint, request_id
from serving.http.security_headers import Header
from serving.metrics.http import UNMATCHED, HttpMetrics
from serving.request import Lifecycle

PROBLEM = {"content-type": PROBLEM_JSON, "x-content-type-options": "nosniff"}
IDENTITY = b"0123456789abcdef"


class Refusals:
    """What the connections of a process answer by themselves."""

    def __init__(
        self,
        metrics: HttpMetrics,
        lifecycle: Lifecycle,
        direct: Mapping[str, DirectEndpoint],
        prefix: str = "",
        cors: CrossOrigin | None = None,
    ) -> None:
        self._metrics = metrics
        self._lifecycle = lifecycle
        self._direct = {spelling: direct[path] for path in direct for spelling in (path, prefix + path)}
        self._shed = {path: shed_response(prefix + direct[path].path) for path in direct}
        self._cors = cors

    @property
    def draining(self) -> bool:
        return self._lifecycle.draining

    def reject(self, error: ApiError, headers: Iterable[Header]) -> bytes:
        """Return the response to what has no route, and those headers; the connection closes after it."""
        self._metrics.count_response(UNMATCHED, error.status, None)
        self._metrics.count_error(error.error_type, UNMATCHED[1])
        return last_response(error, self._cors_lines(dict(headers)))

    def shed(self, scope: Any, *, close: bool) -> bytes | None:
        """Return the response to a prediction that there is no time for; None where the path has none."""
        endpoint = self._direct.get(scope["path"])
        if endpoint is None:
            return None
        endpoint.count_shed()
        self._metrics.count_response(endpoint.route, Overloaded.status, None)
        self._metrics.count_error(Overloaded.__name__, endpoint.path)
        head, content = self._shed[endpoint.path]
        sent = dict(scope["headers"])
        identity = request_id(sent).encode("ascii")
        head += self._cors_lines(sent)
        return written(head, content.replace(IDENTITY, identity), identity, close=close)

    def _cors_lines(self, sent: Mapping[bytes, bytes]) -> bytes:
        if self._cors is None:
            return b""
        return b"".join(b"%b: %b\r\n" % header for header in self._cors.headers(sent))


def shed_response(path: str) -> tuple[bytes, bytes]:
    """Return the constant lines of a head, and a problem document with IDENTITY for the request's id."""
    error = too_long()
    return first_lines(error), problem_json(error, path, IDENTITY.decode())


def last_response(error: ApiError, lines: bytes) -> bytes:
    """Return the response after which a connection closes, with these lines in its head."""
    identity = request_id({})
    content = problem_json(error, "", identity)
    return written(first_lines(error) + lines, content, identity.encode("ascii"), close=True)


def first_lines(error: ApiError) -> bytes:
    headers = "".join(f"{name}: {value}\r\n" for name, value in (PROBLEM | error.headers).items())
    return f"HTTP/1.1 {error.status:d} {error.status.phrase}\r\n{headers}".encode()


def written(head: bytes, content: bytes, identity: bytes, *, close: bool) -> bytes:
    """Return a response whose head begins with these lines."""
    closing = b"connection: close\r\n" if close else b""
    lines = b"%bcontent-length: %d\r\nx-request-id: %b\r\n%b\r\n%b"
    return lines % (head, len(content), identity, closing, content)
