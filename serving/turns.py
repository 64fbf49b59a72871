"""One large request at a time: between two of them the event loop reads, and answers small ones.

A batch keeps the event loop for milliseconds. Where 64 of them are ready at once and nothing comes between,
what arrives meanwhile waits unread for all of them: no clock sees that it waits, scrapes and probes included.
"""

import asyncio
import math
from collections import deque
from time import perf_counter

ALWAYS_WAITING = 32
"""So many may wait however long it takes: in proportion to what one of them takes, that is not long."""

REMEMBERED = 0.95
"""Share of what earlier turns took that counts beside the last one."""

OVERHEAD = 4096
"""What a request takes whatever its size, in bytes of a body that would take as much."""


class Turns:
    """Lets one caller compute in each pass of the event loop, in the order of their calls.

    The queue is too long where a further request would wait for more than `most_seconds`, and behind
    ALWAYS_WAITING others.
    """

    def __init__(self, most_seconds: float = math.inf) -> None:
        self.waiting: deque[tuple[asyncio.Future[None], int]] = deque()
        self._most_seconds = most_seconds
        self._waiting_work = 0
        self._seconds, self._work = 0.0, 1.0
        self._taken = False
        self._computing_since: float | None = None
        self._unread = 0.0
        self.busy = False
        """Whether what is read now may have waited for a turn: `unread` says how long."""

    async def take(self, size: int = 0) -> None:
        """Wait for a turn: until the caller next awaits, the event loop is its own.

        `size` is that of the request's body in bytes.
        """
        loop = asyncio.get_running_loop()
        work = OVERHEAD + size
        if self._taken:
            turn = loop.create_future()
            self.waiting.append((turn, work))
            self._waiting_work += work
            try:
                await turn
            except asyncio.CancelledError:
                if not turn.cancelled():  # it was this caller's turn already
                    self._next()
                raise
        self._taken = self.busy = True
        self._computing_since = perf_counter()
        loop.call_soon(self._end, loop, work)

    def expected_seconds(self) -> float:
        """Return how long a further request would wait, by what the last turns took."""
        return self._waiting_work * self._seconds / self._work

    def too_long(self) -> bool:
        """Return whether a further request would wait for too long."""
        return len(self.waiting) >= ALWAYS_WAITING and self.expected_seconds() > self._most_seconds

    def unread(self, now: float) -> float:
        """Return how long, in seconds, what is read now has waited for a turn: half of it, on average."""
        return self._unread if self._computing_since is None else (now - self._computing_since) / 2

    def _end(self, loop: asyncio.AbstractEventLoop, work: int) -> None:
        """Give the turn to the next."""
        if self._computing_since is not None:
            seconds = perf_counter() - self._computing_since
            self._seconds = REMEMBERED * self._seconds + seconds
            self._work = REMEMBERED * self._work + work
            if isinstance(loop, asyncio.BaseEventLoop):
                # asyncio reads what arrived during the turn after this callback; uvloop has done so before it
                self._unread = seconds / 2
                loop.call_soon(self._read)
            else:
                self.busy = False
        else:
            self.busy = False
        self._computing_since = None
        self._next()

    def _next(self) -> None:
        while self.waiting:
            turn, work = self.waiting.popleft()
            self._waiting_work -= work
            if not turn.done():
                turn.set_result(None)
                return
        self._taken = False

    def _read(self) -> None:
        self._unread = 0.0
        self.busy = self._computing_since is not None
