"""A client that asks first, with `Expect: 100-continue`, is told at once where its body is not wanted."""

import json
import socket

import pytest

from tests.contract.test_greedy_clients import answers, post
from tests.harness import SAMPLE, Server, raw_exchange

pytestmark = pytest.mark.heart

ROW = json.dumps(SAMPLE).encode()
EXPECT = "Expect: 100-continue"
TOO_LARGE = post(b" " * 1_048_577, "/predict/batch", EXPECT)


def head_of(request: bytes) -> bytes:
    return request.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"


REFUSED = {
    "a large body": (413, head_of(TOO_LARGE)),
    "no JSON": (415, head_of(post(ROW, "/predict", EXPECT)).replace(b"application/json", b"text/csv")),
    "no route": (404, head_of(post(ROW, "/nothing", EXPECT))),
}


@pytest.mark.parametrize(("status", "sent"), REFUSED.values(), ids=REFUSED)
def test_a_body_that_is_not_wanted_is_refused_and_the_connection_closes(
    server: Server, status: int, sent: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(sent)
        received = b""
        while part := client.recv(65536):
            received += part
    assert b"100 Continue" not in received
    assert received.lower().count(b"connection: close\r\n") == 1
    assert [found for found, _ in answers(received)] == [status]


def test_a_client_that_sends_all_the_same_can_read_why(server: Server) -> None:
    """The closed connection would be reset, and the response lost with it."""
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
            client.sendall(head_of(TOO_LARGE))
            assert client.recv(1, socket.MSG_PEEK)
            client.sendall(b" " * 1_048_577)
            received = b""
            while part := client.recv(65536):
                received += part
        assert [found for found, _ in answers(received)] == [413]


def test_a_body_that_has_come_is_no_longer_expected(server: Server) -> None:
    csv = post(ROW, "/predict", EXPECT).replace(b"application/json", b"text/csv")
    found = answers(raw_exchange(server.port, csv + post(ROW)))
    assert [status for status, _ in found] == [415, 200]


def test_a_body_that_is_wanted_is_asked_for_and_the_connection_goes_on(server: Server) -> None:
    sent = post(ROW, "/predict", EXPECT)
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        for _ in range(2):
            client.sendall(head_of(sent))
            assert client.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
            client.sendall(ROW)
            received = b""
            while not received.endswith(b"}"):  # head and body are written one after the other
                received += client.recv(65536)
            assert [status for status, _ in answers(received)] == [200]


def test_http_1_0_is_never_told_to_continue(server: Server) -> None:
    sent = post(ROW, "/predict", EXPECT).replace(b"HTTP/1.1", b"HTTP/1.0")
    assert raw_exchange(server.port, sent).startswith(b"HTTP/1.1 200 ")
