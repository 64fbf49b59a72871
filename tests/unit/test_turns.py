"""Large requests take turns: in order, with a pass of the event loop between them, whoever gives up."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from serving.turns import Turns


def run(steps: Callable[[Turns], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(30):
            await steps(Turns())

    asyncio.run(main())


def test_the_event_loop_does_other_work_between_two_turns() -> None:
    done: list[str] = []

    async def large(turns: Turns, name: str) -> None:
        await turns.take()
        done.append(name)
        asyncio.get_running_loop().call_soon(done.append, "small")

    async def steps(turns: Turns) -> None:
        await asyncio.gather(*(large(turns, name) for name in "abc"))

    run(steps)
    assert done == ["a", "small", "b", "small", "c", "small"]


@pytest.mark.parametrize("gone", ["whose turn has come", "that waits"])
def test_one_that_gives_up_keeps_no_turn(gone: str) -> None:
    async def steps(turns: Turns) -> None:
        names = ["whose turn has come", "that waits", "the last"]
        waiting = {name: asyncio.create_task(turns.take()) for name in names}
        await turns.take()
        await asyncio.sleep(0)
        assert waiting[gone].cancel()
        await waiting["the last"]
        assert waiting[gone].cancelled()
        await turns.take()

    run(steps)


def test_a_turn_that_fails_is_passed_on() -> None:
    async def fails(turns: Turns) -> None:
        await turns.take()
        raise ZeroDivisionError

    async def steps(turns: Turns) -> None:
        failed, other = asyncio.create_task(fails(turns)), asyncio.create_task(turns.take())
        await other
        with pytest.raises(ZeroDivisionError):
            await failed

    run(steps)


def test_what_is_read_after_a_turn_has_waited_half_of_it_on_average() -> None:
    async def steps(turns: Turns) -> None:
        await turns.take()
        begun = time.perf_counter()
        while time.perf_counter() - begun < 0.05:
            pass
        await asyncio.sleep(0)  # the pass that reads
        assert 0.025 <= turns.unread <= (time.perf_counter() - begun) / 2 + 0.01
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert turns.unread == 0

    run(steps)
