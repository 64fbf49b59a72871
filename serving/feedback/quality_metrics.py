"""The quality of each version, refreshed from the stored outcomes.

An outcome counts by when its prediction was made, and once that is older than the maturity: late outcomes,
which may differ from early ones, are then among them. It counts for the bundle and threshold that decided it.
"""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic, time

from bundle.concepts import FEEDBACK_STORE_UP
from serving.feedback.async_store import AsyncStore
from serving.feedback.coverage import Coverage, coverage, is_selective
from serving.feedback.outcomes import EARLIER_WINDOWS, SECONDS_A_DAY, Cell, StoreError
from serving.feedback.prediction_counts import PredictionCount, PredictionCounts, origin_of
from serving.feedback.quality import LEAST_OUTCOMES, Quality, assess
from serving.feedback.quality_gauges import QualityGauges
from serving.inference.catalogue import ServedModel
from serving.metrics.vocabulary import Vocabulary

log = logging.getLogger("serving")

REFRESH_SECONDS = 15
REST = 20
"""Seconds of rest per second of reading outcomes."""

Days = tuple[int, int]
"""Days since 1970 (UTC): the first, and the first after the last."""


@dataclass(frozen=True)
class CountedDays:
    """Of which days predictions count: `window` days, the last of which is `maturity` days ago."""

    window: int
    maturity: int

    def present(self, today: int) -> Days:
        """Return the days of the window; today is among them where outcomes count at once."""
        end = today - self.maturity if self.maturity else today + 1
        return end - self.window, end

    def earlier(self, today: int) -> Days:
        begin, _ = self.present(today)
        return begin - EARLIER_WINDOWS * self.window, begin


@dataclass(frozen=True)
class Stored:
    """What is known of a model's predictions of some days."""

    cells: list[Cell]
    predictions: list[PredictionCount]

    def coverage(self, model: ServedModel) -> dict[str, Coverage]:
        version, origin = model.version, origin_of(model)
        found = {
            count.predicted: count.rows
            for count in self.predictions
            if (count.version, count.origin) == (version, origin)
        }
        return coverage(found, of_version(model, self.cells))


class QualityMetrics:
    """The gauges of all versions, and whether the database of outcomes answers."""

    def __init__(
        self,
        models: Sequence[ServedModel],
        days: CountedDays,
        store: AsyncStore,
        counts: PredictionCounts,
        vocabulary: Vocabulary,
    ) -> None:
        self._days = days
        self._store = store
        self._counts = counts
        self._gauges = [QualityGauges(model, vocabulary) for model in models]
        self._set_up = vocabulary.gauge(models[0].declaration, FEEDBACK_STORE_UP)
        self.up: bool | None = None
        self.reported = asyncio.Event()
        self.store_answers = asyncio.Event()

    async def run(self) -> None:
        """Refresh soon after `reported` is set and every few seconds, while the server runs."""
        while True:
            begun = monotonic()
            try:
                await self.refresh()
            except Exception:  # a defect must not end it in silence
                log.exception("quality cannot be shown")
            await asyncio.sleep(max(1.0, REST * (monotonic() - begun)))
            with suppress(TimeoutError):
                async with asyncio.timeout(REFRESH_SECONDS):
                    await self.reported.wait()
            self.reported.clear()

    async def refresh(self) -> None:
        """Show the quality by the stored outcomes; no quality while the store is unreachable."""
        today = int(time()) // SECONDS_A_DAY
        names = dict.fromkeys(gauges.model.name for gauges in self._gauges)
        try:
            await self._store_counts(today)
            present = {name: await self._read(name, self._days.present(today)) for name in names}
            earlier = {name: await self._read(name, self._days.earlier(today)) for name in names}
        except StoreError as error:
            self._set_store_up(False, cause=str(error))
            for gauges in self._gauges:
                gauges.hide()
            return
        self._set_store_up(True)
        self.store_answers.set()
        for gauges in self._gauges:
            model = gauges.model
            here = present[model.name]
            quality = assess(model.declaration, of_version(model, here.cells))
            gauges.show(quality, comparable(model, earlier[model.name]), here.coverage(model))

    async def _store_counts(self, today: int) -> None:
        pending = self._counts.pending(today)
        if pending:
            await self._store.count_predictions(pending)
            self._counts.settle(pending)

    async def _read(self, name: str, days: Days) -> Stored:
        since, until = (day * SECONDS_A_DAY for day in days)
        return Stored(await self._store.cells(name, since, until), await self._store.predictions(name, *days))

    def _set_store_up(self, up: bool, **fields: str) -> None:
        """Show whether the store answers, and log a change."""
        self._set_up(up)
        if up is not self.up:
            level, change = (logging.INFO, "are stored") if up else (logging.ERROR, "cannot be stored")
            log.log(level, "outcomes %s", change, extra={"fields": fields})
        self.up = up


def of_version(model: ServedModel, cells: Iterable[Cell]) -> list[Cell]:
    """Return the outcomes of a version; those of another bundle or threshold are of something else.

    What an earlier release stored says neither, and counts as the version's.
    """
    origins = (None, origin_of(model))
    return [cell for cell in cells if cell.version == model.version and cell.origin in origins]


def comparable(model: ServedModel, earlier: Stored) -> Quality | None:
    """Return the quality before the window; None where it rests on few outcomes, or on selected ones."""
    cells = [cell for cell in of_version(model, earlier.cells) if cell.origin is not None]
    quality = assess(model.declaration, cells)
    if quality.rows < LEAST_OUTCOMES or is_selective(earlier.coverage(model)):
        return None
    return quality
