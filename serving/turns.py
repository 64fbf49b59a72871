"""One large request at a time: between two of them the event loop reads, and answers small ones.

A batch keeps the event loop for milliseconds. Where 64 of them are ready at once and nothing comes between,
what arrives meanwhile waits unread for all of them: no clock sees that it waits, scrapes and probes included.
"""

import asyncio
import math
from collections import deque
from time import perf_counter

ALWAYS_WAITING = 24
"""So many may wait however long it takes: in proportion to what one of them takes, that is not long.

Under four times the load that saturates, p99 was 5.8 times that at half load with 32
(`python -m bench.offered`); with 24 it is 3.5 (`make bench-overload`).
"""

MOST_SECONDS = 0.05
"""Turns that follow each other take no longer: rows and probes wait for them."""

REMEMBERED = 0.95
"""Share of what earlier turns took that counts beside the last one."""

OVERHEAD = 4096
"""What a request takes whatever its size, in bytes of a body that would take as much."""


class Turns:
    """Lets callers compute in turns, in the order of their calls, with a pass of the event loop in between.

    What else the loop does between two turns may take long, such as refusing requests by the thousand: then
    several turns follow each other, until they have taken as long.

    The queue is too long where a further request would wait for more than `most_seconds`, and behind
    ALWAYS_WAITING others.
    """

    def __init__(self, most_seconds: float = math.inf) -> None:
        self.waiting: deque[tuple[asyncio.Future[None], int]] = deque()
        self._most_seconds = most_seconds
        self._waiting_work = 0
        self._coming = self._coming_work = 0
        self._seconds, self._work = 0.0, 1.0
        self._given = 0
        self._begun = self._ended = 0.0
        self._others_took = 0.0
        self._computing_since: float | None = None
        self._unread = 0.0
        self.busy = False
        """Whether what is read now may have waited for a turn: `unread` says how long."""

    async def take(self, size: int = 0) -> int:
        """Wait for a turn: until the caller next awaits, the event loop is its own.

        `size` is that of the request's body in bytes. Returns what `end` asks for.
        """
        loop = asyncio.get_running_loop()
        work = OVERHEAD + size
        others_took = 0.0
        if self._given:
            turn = loop.create_future()
            self.waiting.append((turn, work))
            self._waiting_work += work
            try:
                await turn
            except asyncio.CancelledError:
                if not turn.cancelled():  # it was this caller's turn already
                    self._pass_on()
                raise
            others_took = perf_counter() - self._ended
        else:
            self._given = 1
        self._begun = perf_counter()
        if self._computing_since is None:
            self._computing_since, self._others_took = self._begun, others_took
        self.busy = True
        loop.call_soon(self._after_reading, loop)
        return work

    def end(self, work: int) -> None:
        """Note that the turn that has just been taken is over: so long do others of its size take."""
        self._ended = perf_counter()
        self._seconds = REMEMBERED * self._seconds + self._ended - self._begun
        self._work = REMEMBERED * self._work + work

    def expect(self, size: int) -> None:
        """Count a request whose head has been read among those that wait, until this pass of the loop ends.

        By then it waits itself, or its body has not come and may never do.
        """
        if not self._coming:
            asyncio.get_running_loop().call_soon(self._expect_none)
        self._coming += 1
        self._coming_work += OVERHEAD + size

    def expected_seconds(self) -> float:
        """Return how long a further request would wait, by what the last turns took."""
        return (self._waiting_work + self._coming_work) * self._seconds / self._work

    def too_long(self) -> bool:
        """Return whether a further request would wait for too long."""
        waiting = len(self.waiting) + self._coming
        return waiting >= ALWAYS_WAITING and self.expected_seconds() > self._most_seconds

    def unread(self, now: float) -> float:
        """Return how long, in seconds, what is read now has waited for turns: half of them, on average."""
        return self._unread if self._computing_since is None else (now - self._computing_since) / 2

    def _after_reading(self, loop: asyncio.AbstractEventLoop) -> None:
        """Pass the turn on; with the last of those that follow each other, the clock of what was read."""
        if self._ended < self._begun:  # nobody has said so: the request failed, or had no endpoint of its own
            self._ended = perf_counter()
        if self._given == 1 and self._computing_since is not None:
            if isinstance(loop, asyncio.BaseEventLoop):
                # asyncio reads what arrived during the turn after this callback; uvloop has done so before it
                self._unread = (perf_counter() - self._computing_since) / 2
                loop.call_soon(self._read)
            else:
                self.busy = False
            self._computing_since = None
        self._pass_on()

    def _pass_on(self) -> None:
        """Give one turn back; the last of those that follow each other gives to the next."""
        self._given -= 1
        if self._given:
            return
        seconds = 0.0
        while self.waiting and (not self._given or seconds < min(self._others_took, MOST_SECONDS)):
            turn, work = self.waiting.popleft()
            self._waiting_work -= work
            if not turn.done():
                turn.set_result(None)
                self._given += 1
                seconds += work * self._seconds / self._work

    def _expect_none(self) -> None:
        self._coming = self._coming_work = 0

    def _read(self) -> None:
        self._unread = 0.0
        self.busy = self._computing_since is not None
