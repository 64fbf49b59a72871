"""What pages of other origins may ask and read, where CORS_ORIGINS names them: never with credentials.

Starlette's CORSMiddleware wraps an application, which predictions bypass. It also answers a preflight for any
path, and one that it does not allow with a text of its own; here a browser is told what is allowed, and
compares.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.http.allowed import AllowedMethods
from serving.http.public_address import own_path
from serving.http.security_headers import Header

HEADERS = "Authorization, Content-Encoding, Content-Type, Traceparent, X-Request-ID"
EXPOSED = "Retry-After, X-Request-ID"
PREFLIGHT_SECONDS = "600"
VARY = (b"vary", b"Origin")
NO_CONTENT = 204


class CrossOrigin:
    """Says which origins may read a response, and answers their preflights.

    `key_header` is the header that decides between two versions, which pages may send.
    """

    def __init__(self, origins: Iterable[str], key_header: str) -> None:
        exposed = (b"access-control-expose-headers", EXPOSED.encode())
        self._readers = {
            origin: (VARY, (b"access-control-allow-origin", origin), exposed)
            for origin in (name.encode() for name in origins)
        }
        self._headers = f"{HEADERS}, {key_header}"

    def headers(self, sent: Mapping[bytes, bytes]) -> tuple[Header, ...]:
        """Return the headers of every response to a request that was sent with these."""
        return self._readers.get(sent.get(b"origin", b""), (VARY,))

    def asks_first(self, scope: Scope) -> bool:
        """Return whether a request is the preflight of a named origin."""
        sent = scope["record"].headers
        asks = scope["method"] == "OPTIONS" and b"access-control-request-method" in sent
        return asks and sent.get(b"origin") in self._readers

    def preflight(self, methods: Iterable[str]) -> Response:
        """Return what a page may ask of a path with these methods."""
        return Response(
            status_code=NO_CONTENT,
            headers={
                "Access-Control-Allow-Methods": ", ".join(methods),
                "Access-Control-Allow-Headers": self._headers,
                "Access-Control-Max-Age": PREFLIGHT_SECONDS,
            },
        )


class PreflightRoute(NamedTuple):
    """What a preflight is counted as: the route that it asks about."""

    path: str
    methods: frozenset[str] = frozenset({"OPTIONS"})


def with_preflights(app: ASGIApp, cors: CrossOrigin, allowed: AllowedMethods) -> ASGIApp:
    """Return an application that also answers preflights for its paths."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and cors.asks_first(scope):
            path = own_path(scope)
            template = allowed.template(path)
            if template is not None:
                scope["route"] = PreflightRoute(template)
                await cors.preflight(allowed.at(path))(scope, receive, send)
                return
        await app(scope, receive, send)

    return answer
