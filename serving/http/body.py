"""Reads a JSON body within its limits of type, size and time."""

import asyncio
import types
from collections.abc import Coroutine, Generator, Mapping
from functools import partial
from typing import Any

from pydantic_core import from_json
from starlette.types import Receive

from serving.errors import MalformedBody, PayloadTooLarge, Timeout, UnsupportedMediaType
from serving.request import ClientGone, content_length

CODINGS = {b"identity": False, b"gzip": True, b"x-gzip": True}
"""Content codings that are read, and whether they are gzip."""


def check_content(headers: Mapping[bytes, bytes], max_bytes: int) -> bool:
    """Return whether the body is compressed with gzip.

    UnsupportedMediaType or PayloadTooLarge where the head says that it is not to be read.
    """
    content_type = headers.get(b"content-type", b"")
    if content_type != b"application/json":
        media_type = content_type.partition(b";")[0].strip().lower()
        if media_type != b"application/json" and not media_type.endswith(b"+json"):
            raise UnsupportedMediaType("Send JSON, with the header 'Content-Type: application/json'.")
    if content_length(headers.get(b"content-length", b"0")) > max_bytes:
        raise _too_large(max_bytes)
    return b"content-encoding" in headers and is_gzip(headers[b"content-encoding"])


def is_gzip(coding: bytes) -> bool:
    """Return whether a Content-Encoding is gzip and not identity; UnsupportedMediaType for any other."""
    name = coding.strip().lower()
    if name not in CODINGS:
        raise UnsupportedMediaType(
            "Send the body uncompressed, or with the header 'Content-Encoding: gzip'.",
            headers={"Accept-Encoding": "gzip"},
        )
    return CODINGS[name]


async def read_body(receive: Receive, max_bytes: int, timeout_seconds: float) -> bytes:
    """Return the whole body; most bodies arrive together with the head and need no timer.

    Raises PayloadTooLarge, Timeout, or ClientGone.
    """
    reading = _read(receive, max_bytes)
    try:
        waiting = reading.send(None)
    except StopIteration as whole:
        return bytes(whole.value)
    try:
        async with asyncio.timeout(timeout_seconds):
            return await _resumed(reading, waiting)
    except TimeoutError:
        raise Timeout(
            f"The body was not complete after {timeout_seconds:g} seconds.", headers={"Connection": "close"}
        ) from None


async def _read(receive: Receive, max_bytes: int) -> bytes:
    body: bytes = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        body += message.get("body", b"")
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
        if not message.get("more_body", False):
            return body


@types.coroutine
def _resumed(reading: Coroutine[Any, Any, bytes], waiting: Any) -> Generator[Any, Any, bytes]:
    """Resume a coroutine that was started by hand, from the awaitable that it waits for."""
    while True:
        try:
            sent = yield waiting
        except BaseException as error:  # noqa: BLE001  # CancelledError belongs to the coroutine, too
            step = partial(reading.throw, error)
        else:
            step = partial(reading.send, sent)
        try:
            waiting = step()
        except StopIteration as whole:
            return bytes(whole.value)


def parse_json(body: bytes, headers: Mapping[bytes, bytes]) -> Any:
    """Return the body's JSON value, or raise MalformedBody; of a repeated key the last one wins."""
    if not body:
        # bare uvicorn loses the body of a request that offers an upgrade, as Java's client does
        without = ", without an Upgrade header" if b"upgrade" in headers else ""
        raise MalformedBody(f"The body is empty; send one JSON object{without}.")
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError as error:  # its message names line and column, and quotes nothing
        raise MalformedBody(f"The body is not JSON: {error}.", cause="the body is not JSON") from None


def _too_large(max_bytes: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The body may have {max_bytes} bytes at most; send smaller batches.")
