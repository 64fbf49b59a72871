"""A connection that knows when its requests arrived, and parses pipelined ones as it answers them.

uvicorn parses all that one read brings: thousands of small requests, each of which costs a hundred times what
it cost to send, and keeps them until they are answered.
"""

import asyncio
from abc import abstractmethod
from time import perf_counter
from typing import Any

from serving.request import Connection
from serving.transport.upgrades import IgnoresUpgrades

PIECE = 4096
"""Bytes that are parsed at once."""

MOST_WAITING = 8
"""Requests that wait for the response to an earlier one; what follows them waits unparsed."""


class BoundedPipeline(IgnoresUpgrades):
    """Puts into scope["arrived"] when the last byte of a request arrived, by perf_counter().

    scope["state"]["connection"] is what requests of one connection share. `held` is how many bytes are kept
    for requests that are not answered, `to_drop` how many more at least belong to a body that nobody reads,
    and `closed` whether nothing more is read.
    """

    connections: Any  # uvicorn's set, which Connections replaces
    ahead = b""
    held = 0
    to_drop = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        self.connection = Connection()
        self.app_state = self.app_state | {"connection": self.connection}
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self.closed:
            return
        received, turns = perf_counter(), self.connections.turns
        if turns.busy:
            received -= turns.unread(received)
        if self.ahead:
            self.ahead += data
        elif len(data) <= PIECE:
            super().data_received(data)
            cycle = self.cycle
            if cycle is not None and cycle.scope is self.scope and not cycle.more_body:
                cycle.scope.setdefault("arrived", received)  # type: ignore[typeddict-item]
                return
            self.limit_unfinished(len(data))
        else:
            self._parse(data)
        cycle = self.cycle
        if cycle is not None and not cycle.more_body:
            cycle.scope.setdefault("arrived", received)  # type: ignore[typeddict-item]

    @abstractmethod
    def close_refused(self) -> None:
        """Close a connection that is `closed`: all requests before the refused one are answered."""

    @abstractmethod
    def limit_unfinished(self, size: int) -> None:
        """Close the connection where the request that `size` bytes have not finished is too large."""

    def on_headers_complete(self) -> None:
        if not self.closed:  # else an earlier request of the same piece was the last
            super().on_headers_complete()
            self.headers = self.headers.copy()  # which trailers join: they are no headers of the request

    def on_message_complete(self) -> None:
        cycle = self.cycle
        cycle.more_body = False
        cycle.message_event.set()

    def on_response_complete(self) -> None:
        if self.held:
            self.connections.release(self)
        if self.pipeline:  # it was for its client to wait with this one, and to read the last response
            self.connection.pipelined = True
            self.pipeline[-1][0].scope["arrived"] = perf_counter()  # type: ignore[typeddict-unknown-key]
        super().on_response_complete()
        if self.closed and not self.pipeline and self.cycle.response_complete:
            self.close_refused()
        elif self.ahead and len(self.pipeline) < MOST_WAITING:
            ahead, self.ahead = self.ahead, b""
            self._parse(ahead)

    def _parse(self, data: bytes) -> None:
        """Parse as many requests as may wait, and keep the rest; reading is paused meanwhile."""
        offset = 0
        while offset < len(data) and len(self.pipeline) < MOST_WAITING and not self.transport.is_closing():
            piece = data[offset : offset + (max(PIECE, self.to_drop))]
            super().data_received(piece)
            offset += len(piece)
            cycle = self.cycle
            if cycle is None or cycle.more_body or cycle.scope is not self.scope:
                self.limit_unfinished(len(piece))
            if self.closed:
                return
        self.ahead = data[offset:]
        if self.ahead:
            self.flow.pause_reading()
