"""A list may stand in several headers of a request: they count as one, in their order (RFC 9110, 5.3)."""

from collections.abc import Callable

import pytest

from tests.harness import Server, raw_exchange

pytestmark = pytest.mark.heart

ONE = b"HTTP/1.1 "


def got(server: Server, path: str, *lines: str) -> bytes:
    """Return the response to a request with these lines in its head."""
    head = [f"GET {path} HTTP/1.1", "Host: x", *lines, "Connection: close", "", ""]
    return raw_exchange(server.port, "\r\n".join(head).encode())


@pytest.mark.parametrize("codings", [("gzip", "br"), ("br", "gzip"), ("deflate;q=0.1", "gzip;q=0.5")])
def test_a_coding_may_stand_in_any_of_them(server: Server, codings: tuple[str, str]) -> None:
    lines = [f"Accept-Encoding: {coding}" for coding in codings]
    assert b"content-encoding: gzip" in got(server, "/openapi.json", *lines)


@pytest.mark.parametrize("path", ["/", "/runbooks", "/runbooks/ApiErrorBurst"])
@pytest.mark.parametrize("types", [("text/html", "application/xml"), ("application/xml", "text/html")])
def test_a_page_is_preferred_in_any_of_them(server: Server, path: str, types: tuple[str, str]) -> None:
    lines = [f"Accept: {media_type}" for media_type in types]
    assert b"content-type: text/html" in got(server, path, *lines)
    assert b"content-type: text/html" not in got(server, path, "Accept: application/xml", "Accept: a/b")


def test_the_nearest_proxy_says_the_last(start: Callable[..., Server]) -> None:
    server = start(TRUSTED_PROXIES="127.0.0.1")
    far, near = "X-Forwarded-Prefix: /far", "X-Forwarded-Prefix: /near"
    assert b'"/near/predict"' in got(server, "/", far, near)
    assert b'"/far/predict"' in got(server, "/", near, far)


@pytest.mark.parametrize("options", [("close", "x-own"), ("x-own", "close"), ("keep-alive", "close")])
def test_a_connection_closes_where_any_of_them_says_so(server: Server, options: tuple[str, str]) -> None:
    lines = "".join(f"Connection: {option}\r\n" for option in options)
    request = f"GET /livez HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode()
    answer = raw_exchange(server.port, request * 2)
    assert answer.count(ONE) == 1
    assert b"connection: close" in answer
