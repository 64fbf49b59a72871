"""Deletes outcomes that no longer count: of predictions before the window, whose ids have expired.

An outcome whose id is still valid stays, whatever its age: a client could report it again. Each process
deletes a few at a time, so that clients' outcomes find the database free.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from time import time

from serving.feedback.outcomes import EARLIER_WINDOWS, SECONDS_A_DAY, StoreError
from serving.setting_groups import FeedbackSettings

log = logging.getLogger("serving")

BETWEEN_SECONDS = 3600
PAUSE_SECONDS = 1
BATCH_ROWS = 500

SLACK_SECONDS = 3600
"""How far the clocks of two replicas may be apart."""


class Retention:
    """Deletes old outcomes; `delete(predicted_before, most)` returns how many it deleted."""

    def __init__(
        self,
        settings: FeedbackSettings,
        delete: Callable[[int, int], Awaitable[int]],
        store_answers: asyncio.Event,
    ) -> None:
        self._delete = delete
        self._store_answers = store_answers
        windows = (1 + EARLIER_WINDOWS) * settings.window_days
        counted_days = settings.maturity_days + windows + 1  # a window begins with a day
        self._kept_seconds = max(settings.days, counted_days) * SECONDS_A_DAY + SLACK_SECONDS

    async def run(self) -> None:
        """Delete old outcomes once the store answers, and then for as long as the server runs."""
        await self._store_answers.wait()
        while True:
            deleted = await self._delete_batch()
            await asyncio.sleep(PAUSE_SECONDS if deleted else BETWEEN_SECONDS)

    async def _delete_batch(self) -> int:
        now = int(time())
        try:
            rows = await self._delete(now - self._kept_seconds, BATCH_ROWS)
        except StoreError as error:
            log.warning("old outcomes cannot be deleted", extra={"fields": {"cause": str(error)}})
            return 0
        if rows:
            log.info("old outcomes deleted", extra={"fields": {"rows": rows}})
        return rows
