"""One large request at a time: between two of them the event loop reads, and answers small ones.

A batch keeps the event loop for milliseconds. Where 64 of them are ready at once and nothing comes between,
what arrives meanwhile waits unread for all of them: no clock sees that it waits, scrapes and probes included.
"""

import asyncio
from collections import deque
from time import perf_counter


class Turns:
    """Lets one caller compute in each pass of the event loop, in the order of their calls.

    `unread` is how long, in seconds, what is read in this pass has waited for a computation on average: half
    the time that it took.
    """

    def __init__(self) -> None:
        self.unread = 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._begun: float | None = None

    async def take(self) -> None:
        """Wait for a turn: until the caller next awaits, the event loop is its own."""
        loop = asyncio.get_running_loop()
        if self._begun is not None:
            turn = loop.create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if not turn.cancelled():  # it was this caller's turn already
                    self._next()
                raise
        self._begun = perf_counter()
        loop.call_soon(self._end, loop)

    def _end(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give the turn to the next, in the pass that reads what arrived during this one."""
        if self._begun is not None:
            self.unread = (perf_counter() - self._begun) / 2
        loop.call_soon(self._read)
        self._next()

    def _next(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._begun = None

    def _read(self) -> None:
        self.unread = 0.0
