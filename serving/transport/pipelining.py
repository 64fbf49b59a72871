"""A connection that takes requests up as it answers them, and not all that a client has sent ahead.

uvicorn takes apart whatever one read brings: thousands of small requests, of which each costs a hundred times
what it was to send, and keeps them until they are answered.
"""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

PIECE = 4096
"""Bytes that are taken apart at once."""

MOST_WAITING = 8
"""Requests that wait for an answer to an earlier one; what follows them waits as the bytes that it is."""


class BoundedPipeline(HttpToolsProtocol):
    ahead = b""

    def data_received(self, data: bytes) -> None:
        if self.ahead:
            self.ahead += data
        elif len(data) <= PIECE:
            super().data_received(data)
        else:
            self._take_up(data)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.ahead and len(self.pipeline) < MOST_WAITING:
            ahead, self.ahead = self.ahead, b""
            self._take_up(ahead)

    def _take_up(self, data: bytes) -> None:
        """Take apart what is not too many requests, and keep the rest; nothing more is read meanwhile."""
        place = 0
        while place < len(data) and len(self.pipeline) < MOST_WAITING and not self.transport.is_closing():
            super().data_received(data[place : place + PIECE])
            place += PIECE
        self.ahead = data[place:]
        if self.ahead:
            self.flow.pause_reading()
