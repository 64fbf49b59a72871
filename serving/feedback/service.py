"""Outcomes of predictions: taken, stored, and turned into what metrics show of a model's quality."""

import asyncio
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from functools import partial
from time import monotonic, time
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread

from bundle.declaration import Declaration
from serving.bearer import BearerToken
from serving.errors import Conflict, StoreUnavailable, ValidationError
from serving.feedback.outcomes import FIFTHS, Outcome, StoreError, Verdict
from serving.feedback.prediction_ids import RETRY, SECONDS_A_DAY, Predicted, id_writer, read_id
from serving.feedback.quality import Quality, assess, expected
from serving.feedback.retention import Retention
from serving.feedback.signing_keys import Keys
from serving.inference.catalogue import Answer, ServedModel
from serving.metrics.vocabulary import Record, Vocabulary
from serving.setting_groups import FeedbackSettings

Returned = TypeVar("Returned")

log = logging.getLogger("serving")

REFRESH_SECONDS = 15
KEYS_SECONDS = 5
"""A key that is removed is used no longer than this."""

REST = 20
"""Of its time the server spends at most a twentieth on reading outcomes."""

ANSWER_SECONDS = 8
MEMBERS = {"prediction_id", "outcome"}
KNOWN = MEMBERS | {"correction"}
MOST_MEMBERS = len(KNOWN)
FAILED = "failed"
UNCORRECTED = "nothing is corrected here, where anybody can report"


class FeedbackService:
    """Takes outcomes for the models that are served, and knows how good their versions are."""

    def __init__(
        self, settings: FeedbackSettings, models: Sequence[ServedModel], vocabulary: Vocabulary
    ) -> None:
        self.keys = Keys(settings.keys)
        file = settings.token_file
        self.token = BearerToken("FEEDBACK_TOKEN_FILE", file, "the token for outcomes") if file else None
        self._days = settings.days
        self._window = settings.window_days
        # imported where outcomes are taken: SQLAlchemy would cost every other server memory
        from serving.feedback.store import CONNECTIONS, Store  # noqa: PLC0415

        self._store = Store(settings.database)
        self._limiter = CapacityLimiter(CONNECTIONS)
        self.retention = Retention(settings, partial(self._asked, self._store.delete_old))
        self._declarations = {model.name: model.declaration for model in models}
        self._shown = [ShownQuality(model, vocabulary) for model in models]
        self._count = {
            (name, verdict): vocabulary.counter(declaration, "feedback", model=name, verdict=verdict)
            for name, declaration in self._declarations.items()
            for verdict in (*(it.value for it in Verdict), FAILED)
        }
        self._up: bool | None = None
        self._told = asyncio.Event()
        self._set_up = vocabulary.gauge(models[0].declaration, "feedback_store_up", "livemin")
        self._set_unreadable = vocabulary.gauge(models[0].declaration, "feedback_keys_unreadable", "livemax")
        self._set_unreadable(len(self.keys.faults))

    @property
    def outcomes(self) -> list[int | str]:
        """Every outcome that is accepted, those of the main model first."""
        return list(dict.fromkeys(it for its in self._declarations.values() for it in accepted(its)))

    @property
    def example(self) -> int | str:
        return self.outcomes[0]

    def identifier(self, model: ServedModel) -> Callable[[Answer], str]:
        return id_writer(self.keys, model)

    async def take(self, body: Any) -> Verdict:
        """Store what a client tells; ValidationError, Conflict, or StoreUnavailable where that fails."""
        if not isinstance(body, dict) or len(body) > MOST_MEMBERS or not MEMBERS <= body.keys() <= KNOWN:
            raise ValidationError(
                "Feedback is an object with two members, 'prediction_id' and 'outcome', and at most a third, "
                "'correction'."
            )
        correction = self._correction(body.get("correction", False))
        predicted = read_id(body["prediction_id"], self.keys, self._days)
        declaration = self._declarations.get(predicted.model)
        if declaration is None:
            raise ValidationError("'prediction_id' is that of a model that is not served here.")
        outcome = to_outcome(predicted, declaration, body["outcome"])
        try:
            verdict = await self._asked(self._store.add, outcome, correction)
        except StoreError as error:
            self._count[predicted.model, FAILED](1)
            raise StoreUnavailable(
                "The outcome could not be stored; send it again.", cause=str(error), headers=RETRY
            ) from error
        self._count[predicted.model, verdict.value](1)
        self._told.set()
        if verdict is Verdict.CONTRADICTED:
            how = '; to replace it send "correction": true, too.' if self.token else f": {UNCORRECTED}."
            raise Conflict(f"This prediction has another outcome already, which stays{how}")
        return verdict

    def _correction(self, said: object) -> bool:
        """Return whether an outcome may take another's place, which only who has the token can say."""
        if not isinstance(said, bool):
            raise ValidationError("'correction' must be true or false.")
        if said and not self.token:
            raise ValidationError(f"{UNCORRECTED.capitalize()}: this needs FEEDBACK_TOKEN_FILE.")
        return said

    def refresh_keys(self) -> None:
        """Take up keys that came or went, and show how many cannot be used."""
        self.keys.refresh()
        self._set_unreadable(len(self.keys.faults))

    async def run(self) -> None:
        """Look at outcomes, soon after one was told and every few seconds, while the server runs."""
        if not self.token:
            log.warning("anybody can report outcomes", extra={"fields": {"instead": "FEEDBACK_TOKEN_FILE"}})
        while True:
            begun = monotonic()
            try:
                await self.refresh()
            except Exception:  # a defect must not end it in silence
                log.exception("quality cannot be shown")
            # what takes long is done seldom
            await asyncio.sleep(max(1.0, REST * (monotonic() - begun)))
            with suppress(TimeoutError):
                async with asyncio.timeout(REFRESH_SECONDS):
                    await self._told.wait()
            self._told.clear()

    async def refresh(self) -> None:
        """Show what the store says now; nothing, while it cannot be asked."""
        since = int(time()) - self._window * SECONDS_A_DAY
        try:
            cells = {name: await self._asked(self._store.cells, name, since) for name in self._declarations}
        except StoreError as error:
            self._noted(False, cause=str(error))
            for shown in self._shown:
                shown.hide()
            return
        self._noted(True)
        self.retention.store_answers.set()
        for shown in self._shown:
            its = [cell for cell in cells[shown.model.name] if cell.version == shown.model.version]
            shown.show(assess(shown.model.declaration, its))

    def close(self) -> None:
        self._store.close()

    def _noted(self, up: bool, **fields: str) -> None:
        """Show whether the store answers, and log where that has changed."""
        self._set_up(up)
        if up is not self._up:
            level, said = (logging.INFO, "are stored") if up else (logging.ERROR, "cannot be stored")
            log.log(level, "outcomes %s", said, extra={"fields": fields})
        self._up = up

    async def _asked(self, ask: Callable[..., Returned], *arguments: Any) -> Returned:
        """Return what the store answers, without waiting for it longer than a client would."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await to_thread.run_sync(
                    ask, *arguments, limiter=self._limiter, abandon_on_cancel=True
                )
        except TimeoutError:
            raise StoreError(f"no answer within {ANSWER_SECONDS} s") from None


def to_outcome(predicted: Predicted, declaration: Declaration, told: object) -> Outcome:
    """Return what is stored; ValidationError where the outcome is no class of the model."""
    names = accepted(declaration)
    if len(predicted.probabilities) != len(declaration.classes):
        raise ValidationError("'prediction_id' is that of a version with other classes.")
    # the check of the type keeps true from being read as 1, and lists out of the dictionary
    label = names.get(told) if type(told) in (int, float, str) else None  # type: ignore[call-overload]
    if label is None:
        listed = ", ".join(str(name) for name in names)
        raise ValidationError(f"'outcome' must be one of {listed}.")
    true = declaration.labels.index(label)
    probabilities = predicted.probabilities
    if declaration.binary:
        score = probabilities[1]
        squared_error = (score - true) ** 2
    else:
        score = probabilities[predicted.index]
        squared_error = sum((it - (place == true)) ** 2 for place, it in enumerate(probabilities))
    return Outcome(
        number=predicted.number,
        model=predicted.model,
        version=predicted.version,
        predicted_at=predicted.second,
        received_at=int(time()),
        predicted=declaration.labels[predicted.index],
        outcome=label,
        score=score,
        squared_error=squared_error,
    )


def accepted(declaration: Declaration) -> dict[int | str, str]:
    """Return every way to tell a class, and its label: as answers show it under `prediction`, and by name."""
    shown: dict[int | str, str] = {it.prediction: it.label for it in declaration.classes}
    return shown | {label: label for label in declaration.labels}


class ShownQuality:
    """The gauges of one version. A figure appears when it is first known, and is NaN when it no longer is."""

    def __init__(self, model: ServedModel, vocabulary: Vocabulary) -> None:
        self.model = model
        self._vocabulary = vocabulary
        self._origin = {"model": model.name, "version": model.version}
        self._gauges: dict[tuple[str, ...], Record] = {}
        card = expected(model.manifest, threshold=model.threshold)
        self._set({("model_quality_expected", figure): value for figure, value in card.items()})
        self._card = set(self._gauges)

    def show(self, quality: Quality) -> None:
        values: dict[tuple[str, ...], float] = {}
        for (predicted, true), rows in quality.outcomes.items():
            values["model_outcomes", predicted, true] = rows
        for figure, estimate in quality.figures.items():
            values["model_quality", figure] = estimate.value
            for confidence_level, (low, high) in estimate.intervals.items():
                values["model_quality_lower", figure, confidence_level] = low
                values["model_quality_upper", figure, confidence_level] = high
        for fifth, calibration in quality.calibration.items():
            name = f"{fifth / FIFTHS:g} to {(fifth + 1) / FIFTHS:g}"
            low, high = calibration.share.intervals["0.95"]
            values["model_calibration_score", name] = calibration.score
            values["model_calibration_observed", name] = calibration.share.value
            values["model_calibration_lower", name] = low
            values["model_calibration_upper", name] = high
        self.hide(set(values))
        self._set(values)

    def hide(self, still_known: AbstractSet[tuple[str, ...]] = frozenset()) -> None:
        """Show no figures but those that are still known, and the card's."""
        for key in set(self._gauges) - self._card - still_known:
            self._gauges[key](math.nan)

    def _set(self, values: Mapping[tuple[str, ...], float]) -> None:
        for key, value in values.items():
            if key not in self._gauges:
                self._gauges[key] = self._gauge(*key)
            self._gauges[key](value)

    def _gauge(self, concept: str, *dimensions: str) -> Record:
        named = dict(zip(DIMENSIONS[concept], dimensions, strict=True))
        return self._vocabulary.gauge(
            self.model.declaration, concept, "livemostrecent", **self._origin, **named
        )


DIMENSIONS = {
    "model_outcomes": ("predicted", "outcome"),
    "model_quality": ("metric",),
    "model_quality_lower": ("metric", "confidence_level"),
    "model_quality_upper": ("metric", "confidence_level"),
    "model_quality_expected": ("metric",),
    "model_calibration_score": ("bin",),
    "model_calibration_observed": ("bin",),
    "model_calibration_lower": ("bin",),
    "model_calibration_upper": ("bin",),
}
