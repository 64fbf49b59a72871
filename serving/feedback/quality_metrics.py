"""The quality of each version as gauges, refreshed from the stored outcomes."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from time import monotonic, time

from bundle.concepts import (
    FEEDBACK_STORE_UP,
    MODEL_CALIBRATION_LOWER,
    MODEL_CALIBRATION_OBSERVED,
    MODEL_CALIBRATION_SCORE,
    MODEL_CALIBRATION_UPPER,
    MODEL_OUTCOMES,
    MODEL_QUALITY,
    MODEL_QUALITY_EXPECTED,
    MODEL_QUALITY_LOWER,
    MODEL_QUALITY_UPPER,
    Concept,
)
from serving.feedback.outcomes import SCORE_BINS, Cell, StoreError
from serving.feedback.prediction_ids import SECONDS_A_DAY
from serving.feedback.quality import Quality, assess, expected
from serving.inference.catalogue import ServedModel
from serving.metrics.vocabulary import Recorder, Vocabulary

log = logging.getLogger("serving")

REFRESH_SECONDS = 15
REST = 20
"""Seconds of rest per second of reading outcomes."""

Series = tuple[Concept, tuple[str, ...]]
"""A concept, and the values of its dimensions after model and version."""


class QualityGauges:
    """The gauges of one version. A series appears with its first value; it is NaN without one."""

    def __init__(self, model: ServedModel, vocabulary: Vocabulary) -> None:
        self.model = model
        self._vocabulary = vocabulary
        self._gauges: dict[Series, Recorder] = {}
        card = expected(model.manifest, threshold=model.threshold)
        self._set({(MODEL_QUALITY_EXPECTED, (metric,)): value for metric, value in card.items()})
        self._card = set(self._gauges)

    def show(self, quality: Quality) -> None:
        values = quality_values(quality)
        self.hide(set(values))
        self._set(values)

    def hide(self, still_known: AbstractSet[Series] = frozenset()) -> None:
        """Set all series to NaN but those that are still known, and the card's."""
        for series in set(self._gauges) - self._card - still_known:
            self._gauges[series](math.nan)

    def _set(self, values: Mapping[Series, float]) -> None:
        for series, value in values.items():
            if series not in self._gauges:
                self._gauges[series] = self._gauge(*series)
            self._gauges[series](value)

    def _gauge(self, concept: Concept, values: tuple[str, ...]) -> Recorder:
        model = self.model
        dimensions = zip(concept.dimensions, (model.name, model.version, *values), strict=True)
        return self._vocabulary.gauge(model.declaration, concept, **dict(dimensions))


def quality_values(quality: Quality) -> dict[Series, float]:
    values: dict[Series, float] = {}
    for classes, rows in quality.outcomes.items():
        values[MODEL_OUTCOMES, classes] = rows
    for metric, estimate in quality.metrics.items():
        values[MODEL_QUALITY, (metric,)] = estimate.value
        for confidence_level, (lower, upper) in estimate.intervals.items():
            values[MODEL_QUALITY_LOWER, (metric, confidence_level)] = lower
            values[MODEL_QUALITY_UPPER, (metric, confidence_level)] = upper
    for score_bin, calibration in quality.calibration.items():
        name = (f"{score_bin / SCORE_BINS:g} to {(score_bin + 1) / SCORE_BINS:g}",)
        lower, upper = calibration.observed.intervals["0.95"]
        values[MODEL_CALIBRATION_SCORE, name] = calibration.score
        values[MODEL_CALIBRATION_OBSERVED, name] = calibration.observed.value
        values[MODEL_CALIBRATION_LOWER, name] = lower
        values[MODEL_CALIBRATION_UPPER, name] = upper
    return values


class QualityMetrics:
    """The gauges of all versions; `read_cells(model, since)` returns outcomes from a Unix second on."""

    def __init__(
        self,
        models: Sequence[ServedModel],
        window_days: int,
        read_cells: Callable[[str, int], Awaitable[list[Cell]]],
        vocabulary: Vocabulary,
    ) -> None:
        self._window_seconds = window_days * SECONDS_A_DAY
        self._read_cells = read_cells
        self._gauges = [QualityGauges(model, vocabulary) for model in models]
        self._set_up = vocabulary.gauge(models[0].declaration, FEEDBACK_STORE_UP)
        self._up: bool | None = None
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
        since = int(time()) - self._window_seconds
        names = dict.fromkeys(gauges.model.name for gauges in self._gauges)
        try:
            cells = {name: await self._read_cells(name, since) for name in names}
        except StoreError as error:
            self._set_store_up(False, cause=str(error))
            for gauges in self._gauges:
                gauges.hide()
            return
        self._set_store_up(True)
        self.store_answers.set()
        for gauges in self._gauges:
            gauges.show(assess(gauges.model.declaration, of_version(gauges.model, cells)))

    def _set_store_up(self, up: bool, **fields: str) -> None:
        """Show whether the store answers, and log a change."""
        self._set_up(up)
        if up is not self._up:
            level, change = (logging.INFO, "are stored") if up else (logging.ERROR, "cannot be stored")
            log.log(level, "outcomes %s", change, extra={"fields": fields})
        self._up = up


def of_version(model: ServedModel, cells: Mapping[str, Iterable[Cell]]) -> list[Cell]:
    return [cell for cell in cells[model.name] if cell.version == model.version]
