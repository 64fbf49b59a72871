"""How a body is framed decides neither its answer nor what else the server answers meanwhile."""

import json
import socket
from contextlib import suppress

import pytest

from tests.contract.test_greedy_clients import send_until_closed
from tests.harness import SAMPLE, Server, raw_exchange

pytestmark = pytest.mark.heart

BODY = json.dumps(SAMPLE).encode()
HEAD = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
CHUNKS = HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(BODY), BODY)
LENGTH = HEAD + b"Content-Length: %s%d\r\n\r\n" % (b"0" * 5000, len(BODY))


def test_a_length_may_begin_with_zeros(server: Server) -> None:
    assert raw_exchange(server.port, LENGTH + BODY).startswith(b"HTTP/1.1 200 ")


def test_a_length_that_begins_with_zeros_bounds_a_body_that_comes_later(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(LENGTH + BODY[:10])
        client.sendall(BODY[10:])
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("trailer", [b"Content-Type: text/plain", b"Content-Encoding: br"])
def test_a_trailer_is_no_header(server: Server, trailer: bytes) -> None:
    """It would be one if it came together with the head, and else not."""
    answer = raw_exchange(server.port, CHUNKS + b"0\r\nX-Request-ID: trailer\r\n" + trailer + b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"x-request-id: trailer" not in answer


def large_heads(server: Server) -> float:
    return server.metric("connections_closed_total", reason="large_head")


@pytest.mark.parametrize("media_type", [b"json", b"xml"], ids=["read", "dropped"])
@pytest.mark.parametrize("last", [b"0\r\nX-A: ", b"0\r\n", b"1;"], ids=["value", "name", "extension"])
def test_what_comes_beside_a_body_is_bounded(server: Server, last: bytes, media_type: bytes) -> None:
    """The parser joined the pieces of a long trailer one by one: 16 MiB of it kept the loop for seconds."""
    before = large_heads(server)
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        client.sendall(CHUNKS.replace(b"json", media_type) + last)
        send_until_closed(client, b"a" * 65536, 16)
    assert large_heads(server) == before + 1


def test_a_long_trailer_gets_431(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        client.sendall(CHUNKS + b"0\r\nX-A: ")
        with suppress(OSError):
            client.sendall(b"a" * 100_000)
        assert client.recv(65536).startswith(b"HTTP/1.1 431 ")
