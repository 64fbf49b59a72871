"""The store of outcomes, called in threads: a database that hangs does not hold up predictions."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from anyio import CapacityLimiter, to_thread

from serving.feedback.outcomes import Cell, Outcome, StoreError, Verdict
from serving.feedback.prediction_counts import PredictionCount

if TYPE_CHECKING:
    from serving.feedback.store import Store

Returned = TypeVar("Returned")

ANSWER_SECONDS = 8


class AsyncStore:
    """Does what the store does; StoreError where that takes longer than a client would wait."""

    def __init__(self, store: "Store", connections: int) -> None:
        self._store = store
        self._limiter = CapacityLimiter(connections)

    async def add(self, outcome: Outcome, correction: bool) -> Verdict:
        return await self._call(self._store.add, outcome, correction)

    async def cells(self, model: str, since: int, until: int) -> list[Cell]:
        return await self._call(self._store.cells, model, since, until)

    async def predictions(self, model: str, since_day: int, until_day: int) -> list[PredictionCount]:
        return await self._call(self._store.predictions, model, since_day, until_day)

    async def count_predictions(self, counts: Sequence[PredictionCount]) -> None:
        await self._call(self._store.count_predictions, counts)

    async def delete_old(self, predicted_before: int, most: int) -> int:
        return await self._call(self._store.delete_old, predicted_before, most)

    async def _call(self, call: Callable[..., Returned], *arguments: Any) -> Returned:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await to_thread.run_sync(
                    call, *arguments, limiter=self._limiter, abandon_on_cancel=True
                )
        except TimeoutError:
            raise StoreError(f"no answer within {ANSWER_SECONDS} s") from None
