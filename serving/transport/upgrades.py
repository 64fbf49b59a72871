"""Answers a request that offers another protocol as HTTP/1.1, as RFC 9110 (7.8) allows.

Java's HttpClient offers h2c with each request. The parser takes what follows the head of such a request for
the other protocol, and would lose its body.
"""

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

FRAMING = frozenset({b"content-length", b"transfer-encoding"})


class IgnoresUpgrades(HttpToolsProtocol):
    """Parses the body after the head of a request that offers an upgrade, unless it is `closed`."""

    closed = False

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if not self.closed and self._resume():
                IgnoresUpgrades.data_received(self, data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")

    def _resume(self) -> bool:
        """Go on with a new parser, which is told how the body is framed; return whether that can be read."""
        framing = [(name, value) for name, value in self.headers if name in FRAMING]
        if framing:
            self.cycle.more_body = True
            self.cycle.message_event.clear()
        self.parser = httptools.HttpRequestParser(AfterHead(self))
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        lines = b"".join(b"%s: %s\r\n" % header for header in framing)
        try:
            self.parser.feed_data(b"POST / HTTP/1.1\r\n%s\r\n" % lines)
        except httptools.HttpParserError:  # the first parser looked for no body
            self.send_400_response("Invalid HTTP request received.")
            return False
        return True


class AfterHead:
    """Passes a parser's events on, but not those of the head that only tells it the framing."""

    def __init__(self, protocol: HttpToolsProtocol) -> None:
        self._protocol = protocol
        self.told = False
        self.on_body = protocol.on_body

    def on_message_begin(self) -> None:
        if self.told:
            self._protocol.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if self.told:
            self._protocol.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.told:
            self._protocol.on_header(name, value)

    def on_headers_complete(self) -> None:
        if self.told:
            self._protocol.on_headers_complete()
        self.told = True  # an empty body is complete together with its head

    def on_message_complete(self) -> None:
        if self.told:
            self._protocol.on_message_complete()
