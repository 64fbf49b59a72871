"""One large request at a time: between two of them the event loop reads, and answers small ones.

A batch keeps the event loop for milliseconds. Where 64 of them are ready at once and nothing comes between,
what arrives meanwhile waits unread for all of them: no clock sees that it waits, scrapes and probes included.
"""

import asyncio
from collections import deque
from time import perf_counter


class Turns:
    """Lets one caller compute in each pass of the event loop, in the order of their calls."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._taken = False
        self._computing_since: float | None = None
        self._unread = 0.0
        self.busy = False
        """Whether what is read now may have waited for a turn: `unread` says how long."""

    async def take(self) -> None:
        """Wait for a turn: until the caller next awaits, the event loop is its own."""
        loop = asyncio.get_running_loop()
        if self._taken:
            turn = loop.create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if not turn.cancelled():  # it was this caller's turn already
                    self._next()
                raise
        self._taken = self.busy = True
        self._computing_since = perf_counter()
        loop.call_soon(self._end, loop)

    def unread(self, now: float) -> float:
        """Return how long, in seconds, what is read now has waited for a turn: half of it, on average."""
        return self._unread if self._computing_since is None else (now - self._computing_since) / 2

    def _end(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give the turn to the next."""
        if self._computing_since is not None and isinstance(loop, asyncio.BaseEventLoop):
            # asyncio reads what arrived during the turn after this callback; uvloop has done so before it
            self._unread = (perf_counter() - self._computing_since) / 2
            loop.call_soon(self._read)
        else:
            self.busy = False
        self._computing_since = None
        self._next()

    def _next(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._taken = False

    def _read(self) -> None:
        self._unread = 0.0
        self.busy = self._computing_since is not None
