"""Large requests take turns: in order, with a pass of the event loop between them, whoever gives up."""

import asyncio
import socket
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from serving.turns import ALWAYS_WAITING, Turns


def run(steps: Callable[[Turns], Coroutine[Any, Any, None]], runner: Any = asyncio) -> None:
    async def main() -> None:
        async with asyncio.timeout(30):
            await steps(Turns())

    runner.run(main())


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


def test_turns_follow_each_other_where_all_else_takes_long() -> None:
    """Once, refusing 500 batches came between two turns: there was time for fifty times as many answers."""
    done: list[str] = []

    async def large(turns: Turns) -> None:
        work = await turns.take()
        wait(0.002)
        done.append("large")
        turns.end(work)
        asyncio.get_running_loop().call_soon(others)

    def others() -> None:
        wait(0.01)
        done.append("other")

    def wait(seconds: float) -> None:
        begun = time.perf_counter()
        while time.perf_counter() - begun < seconds:
            pass

    async def steps(turns: Turns) -> None:
        await asyncio.gather(*(large(turns) for _ in range(24)))

    run(steps)
    groups = "".join(name[0] for name in done).split("o")
    assert max(map(len, groups)) > 2
    assert len(groups[0]) == 1


def test_heads_that_come_at_once_count_before_they_wait_and_no_longer() -> None:
    """A body that never comes keeps nobody out."""

    async def steps(_: Turns) -> None:
        turns = Turns(most_seconds=0)
        turns.end(await turns.take(1000))
        for _number in range(ALWAYS_WAITING):
            assert not turns.too_long()
            turns.expect(1000)
        assert turns.too_long()
        await asyncio.sleep(0)
        assert not turns.too_long()

    run(steps)


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


@pytest.mark.parametrize("runner", [asyncio, uvloop], ids=["asyncio", "uvloop"])
def test_what_arrives_during_a_turn_has_waited_half_of_it_on_average(runner: Any) -> None:
    """Whatever the order of reads and callbacks in a pass of the event loop."""

    async def steps(turns: Turns) -> None:
        loop, (ours, theirs) = asyncio.get_running_loop(), socket.socketpair()
        found: list[float] = []

        def read() -> None:
            ours.recv(1)
            found.append(turns.unread(time.perf_counter()))

        loop.add_reader(ours, read)
        await turns.take()
        begun = time.perf_counter()
        theirs.send(b"1")
        while time.perf_counter() - begun < 0.1:
            pass
        while not found:  # noqa: ASYNC110  # one pass at a time
            await asyncio.sleep(0)
        assert 0.05 <= found[0] <= (time.perf_counter() - begun) / 2 + 0.01
        theirs.send(b"2")
        while len(found) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert found[1] == 0
        loop.remove_reader(ours)
        ours.close()
        theirs.close()

    run(steps, runner)
