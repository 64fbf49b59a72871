"""A connection that knows when its requests arrived, and parses pipelined ones as it answers them.

uvicorn parses all that one read brings: thousands of small requests, each of which costs a hundred times what
it cost to send, and keeps them until they are answered.
"""

import asyncio
from time import perf_counter

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from serving.request import Connection

PIECE = 4096
"""Bytes that are parsed at once."""

MOST_WAITING = 8
"""Requests that wait for the response to an earlier one; what follows them waits unparsed."""


class BoundedPipeline(HttpToolsProtocol):
    """Puts into scope["arrived"] when the last byte of a request arrived, by perf_counter().

    scope["state"]["connection"] is what requests of one connection share.
    """

    ahead = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        self.connection = Connection()
        self.app_state = self.app_state | {"connection": self.connection}
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        received, turns = perf_counter(), self.connections.turns  # type: ignore[attr-defined]  # ours
        if turns.busy:
            received -= turns.unread(received)
        if self.ahead:
            self.ahead += data
        elif len(data) <= PIECE:
            super().data_received(data)
        else:
            self._parse(data)
        cycle = self.cycle
        if cycle is not None and not cycle.more_body:
            cycle.scope.setdefault("arrived", received)  # type: ignore[typeddict-item]

    def on_response_complete(self) -> None:
        if self.pipeline:  # it was for its client to wait with this one, and to read the last response
            self.connection.pipelined = True
            self.pipeline[-1][0].scope["arrived"] = perf_counter()  # type: ignore[typeddict-unknown-key]
        super().on_response_complete()
        if self.ahead and len(self.pipeline) < MOST_WAITING:
            ahead, self.ahead = self.ahead, b""
            self._parse(ahead)

    def _parse(self, data: bytes) -> None:
        """Parse as many requests as may wait, and keep the rest; reading is paused meanwhile."""
        offset = 0
        while offset < len(data) and len(self.pipeline) < MOST_WAITING and not self.transport.is_closing():
            super().data_received(data[offset : offset + PIECE])
            offset += PIECE
        self.ahead = data[offset:]
        if self.ahead:
            self.flow.pause_reading()
