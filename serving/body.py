"""Reads a JSON body within its limits of type, size and time."""

import asyncio
from typing import Any

from fastapi import Request
from pydantic_core import from_json

from serving.errors import MalformedBody, PayloadTooLarge, Timeout, UnsupportedMediaType
from serving.middleware import ClientGone


async def read_json(request: Request, max_bytes: int, timeout_seconds: float) -> Any:
    """Return the body's JSON value; of a repeated key the last one wins.

    Raises UnsupportedMediaType, PayloadTooLarge, Timeout, MalformedBody, or ClientGone.
    """
    headers = request.headers
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise UnsupportedMediaType("Send JSON, with the header 'Content-Type: application/json'.")
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType("Send the body uncompressed, without Content-Encoding.")
    if int(headers.get("content-length", 0)) > max_bytes:
        raise _too_large(max_bytes)
    try:
        async with asyncio.timeout(timeout_seconds):
            body = await _read(request, max_bytes)
    except TimeoutError:
        raise Timeout(
            f"The body was not complete after {timeout_seconds:g} seconds.", headers={"Connection": "close"}
        ) from None
    if not body:
        # the HTTP parser passes no body on with a request to change the protocol (Java's client sends one)
        without = ", without an Upgrade header" if "upgrade" in headers else ""
        raise MalformedBody(f"The body is empty; send one JSON object{without}.")
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError as error:  # its message names line and column, and quotes nothing
        raise MalformedBody(f"The body is not JSON: {error}.", cause="the body is not JSON") from None


async def _read(request: Request, max_bytes: int) -> bytes:
    body = bytearray()
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        body += message.get("body", b"")
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
        if not message.get("more_body", False):
            return bytes(body)


def _too_large(max_bytes: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The body may have {max_bytes} bytes at most; send smaller batches.")
