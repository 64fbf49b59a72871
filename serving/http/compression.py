"""Compresses responses with gzip where the client asks and it pays (docs/decisions/38-compression.md)."""

import zlib
from asyncio import to_thread
from collections.abc import Iterable
from functools import lru_cache

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.http.accept import qualities
from serving.http.security_headers import Header

SMALLEST = 1024
"""Bytes from which a response is compressed: a smaller one is a single packet, compressed or not."""

FAST, THOROUGH = 1, 6
"""zlib's levels for what is made for one response, and for what never changes."""

KEPT = 64
"""Responses that never change are compressed once: the style sheets, scripts and pictures of pages."""

VARY = (b"vary", b"Accept-Encoding")
CODING = (b"content-encoding", b"gzip")
GZIP = 16 + zlib.MAX_WBITS
COMPRESSIBLE = (b"text/", b"application/json", b"application/openmetrics-text", b"image/svg+xml")


def accepts_gzip(accept_encoding: bytes) -> bool:
    """Return whether a client takes gzip, and wants it no less than what is not compressed."""
    wanted = qualities(accept_encoding.decode("latin-1"))
    gzip = wanted.get("gzip", wanted.get("x-gzip", wanted.get("*", 0.0)))
    return gzip > 0 and gzip >= wanted.get("identity", 0.0)


def coded(content: bytes, accept_encoding: bytes) -> tuple[bytes, tuple[Header, ...]]:
    """Return a response that is large enough as the client wants it, and the headers that say so."""
    if accepts_gzip(accept_encoding):
        return compress(content), (VARY, CODING)
    return content, (VARY,)


def compress(content: bytes, level: int = FAST) -> bytes:
    return zlib.compress(content, level, GZIP)


@lru_cache(maxsize=KEPT)
def compress_once(content: bytes) -> bytes:
    return compress(content, THOROUGH)


def pays(headers: Iterable[Header]) -> bool:
    """Return whether a response with these headers is worth compressing, and is not compressed yet."""
    given = dict(headers)
    large = int(given.get(b"content-length", 0)) >= SMALLEST
    return large and b"content-encoding" not in given and given[b"content-type"].startswith(COMPRESSIBLE)


def with_compression(app: ASGIApp) -> ASGIApp:
    """Return an application whose responses are compressed, each of which must be sent as a whole."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        held: Message | None = None

        async def send_coded(message: Message) -> None:
            nonlocal held
            if held is None and "headers" in message and pays(message["headers"]):
                held = message
                return
            if held is not None:
                start, held = held, None
                content, headers = await coded_response(scope, start["headers"], message["body"])
                await send({**start, "headers": headers})
                message = {**message, "body": content}
            await send(message)

        await app(scope, receive, send_coded)

    return answer


async def coded_response(
    scope: Scope, headers: Iterable[Header], content: bytes
) -> tuple[bytes, list[Header]]:
    """Return content and headers of a response as its client wants them."""
    if not accepts_gzip(scope["record"].headers.get(b"accept-encoding", b"")):
        return content, [*headers, VARY]
    if b"max-age" in dict(headers).get(b"cache-control", b""):
        content = await to_thread(compress_once, content)
    else:
        content = compress(content)
    others = (header for header in headers if header[0] != b"content-length")
    return content, [*others, (b"content-length", b"%d" % len(content)), VARY, CODING]
