"""A request that offers another protocol is answered as HTTP/1.1, with its body."""

import json
import socket

import pytest

from tests.harness import SAMPLE, Server, raw_exchange

pytestmark = pytest.mark.heart

BODY = json.dumps(SAMPLE).encode()
OFFER = (
    b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAA\r\n"
)
FRAMED = [
    b"Content-Length: %d\r\n\r\n%s" % (len(BODY), BODY),
    b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY),
]


def answers(server: Server, parts: list[bytes], count: int) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in parts:
            client.sendall(part)
        received = b""
        while received.count(b'"prediction"') < count:
            part = client.recv(65536)
            assert part, received
            received += part
    return received


@pytest.mark.parametrize("framed", FRAMED)
def test_a_request_that_offers_an_upgrade_is_answered(server: Server, framed: bytes) -> None:
    request = OFFER + framed
    for parts in (
        [request],
        [request[:-200], request[-200:]],
        [request[i : i + 1] for i in range(len(request))],
    ):
        assert answers(server, parts, 1).count(b"HTTP/1.1 200") == 1


def test_the_connection_is_kept_for_more_of_them(server: Server) -> None:
    request = OFFER + FRAMED[0]
    assert answers(server, [request * 3], 3).count(b"HTTP/1.1 200") == 3


def test_one_without_a_body_is_answered(server: Server) -> None:
    response = server.get("/health", headers={"Connection": "Upgrade", "Upgrade": "h2c"})
    assert response.status_code == 200


@pytest.mark.parametrize("framed", [b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n\r\n0\r\n"])
def test_one_with_an_empty_body_is_told_so(server: Server, framed: bytes) -> None:
    received = raw_exchange(server.port, OFFER + framed + b"\r\n")
    assert received.startswith(b"HTTP/1.1 400")
    assert b"The body is empty" in received


def test_a_broken_chunk_after_it_is_rejected(server: Server) -> None:
    head = OFFER + b"Transfer-Encoding: chunked\r\n\r\nnothing\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(head)
        assert client.recv(65536).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize("codings", [b"xchunked", b"gzip", b"", b"identity"])
def test_a_body_after_it_whose_end_nobody_knows_is_rejected(server: Server, codings: bytes) -> None:
    received = raw_exchange(server.port, OFFER + b"Transfer-Encoding: %s\r\n\r\n0\r\n\r\n" % codings)
    assert received.startswith(b"HTTP/1.1 400")
    assert received.count(b"\r\n\r\n") == 1
