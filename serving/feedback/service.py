"""Outcomes of predictions: accepted, stored, and shown as metrics of each version's quality."""

import asyncio
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from functools import partial
from itertools import chain
from time import monotonic, time
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread

from bundle.declaration import Declaration
from bundle.score import score
from serving.bearer import BearerToken
from serving.errors import Conflict, StoreUnavailable, ValidationError
from serving.feedback.outcomes import SCORE_BINS, Outcome, StoreError, Verdict
from serving.feedback.prediction_ids import RETRY, SECONDS_A_DAY, SignedPrediction, id_writer, read_id
from serving.feedback.quality import Quality, assess, expected
from serving.feedback.retention import Retention
from serving.feedback.signing_keys import Keys
from serving.inference.catalogue import Prediction, ServedModel
from serving.metrics.vocabulary import Recorder, Vocabulary
from serving.setting_groups import FeedbackSettings

Returned = TypeVar("Returned")

log = logging.getLogger("serving")

REFRESH_SECONDS = 15
KEYS_SECONDS = 5
"""How long a removed key may still be used."""

REST = 20
"""Seconds of rest per second of reading outcomes."""

ANSWER_SECONDS = 8
MEMBERS = {"prediction_id", "outcome"}
ALLOWED = MEMBERS | {"correction"}
MOST_MEMBERS = len(ALLOWED)
FAILED = "failed"
UNCORRECTED = "corrections are not accepted where anybody can report"


class FeedbackService:
    """Accepts the outcomes of served models, and shows the quality of their versions."""

    def __init__(
        self, settings: FeedbackSettings, models: Sequence[ServedModel], vocabulary: Vocabulary
    ) -> None:
        self.keys = Keys(settings.keys)
        file = settings.token_file
        self.token = BearerToken("FEEDBACK_TOKEN_FILE", file, "the token for outcomes") if file else None
        self._days = settings.days
        self._window = settings.window_days
        # imported where outcomes are accepted: SQLAlchemy would cost every other server memory
        from serving.feedback.store import CONNECTIONS, Store  # noqa: PLC0415

        self._store = Store(settings.database)
        self._limiter = CapacityLimiter(CONNECTIONS)
        self.retention = Retention(settings, partial(self._call_store, self._store.delete_old))
        self._declarations = {model.name: model.declaration for model in models}
        self._quality_gauges = [QualityGauges(model, vocabulary) for model in models]
        self._count = {
            (name, verdict): vocabulary.counter(declaration, "feedback", model=name, verdict=verdict)
            for name, declaration in self._declarations.items()
            for verdict in (*(verdict.value for verdict in Verdict), FAILED)
        }
        self._up: bool | None = None
        self._reported = asyncio.Event()
        self._set_up = vocabulary.gauge(models[0].declaration, "feedback_store_up", "livemin")
        self._set_unreadable = vocabulary.gauge(models[0].declaration, "feedback_keys_unreadable", "livemax")
        self._set_unreadable(len(self.keys.faults))

    @property
    def outcomes(self) -> list[int | str]:
        """Every outcome that is accepted, those of the main model first."""
        return list(dict.fromkeys(chain.from_iterable(map(accepted, self._declarations.values()))))

    @property
    def example(self) -> int | str:
        return self.outcomes[0]

    def id_writer(self, model: ServedModel) -> Callable[[Prediction], str]:
        return id_writer(self.keys, model)

    async def accept(self, body: Any) -> Verdict:
        """Store a reported outcome; ValidationError, Conflict, or StoreUnavailable where that fails."""
        if not isinstance(body, dict) or len(body) > MOST_MEMBERS or not MEMBERS <= body.keys() <= ALLOWED:
            raise ValidationError(
                "Feedback is an object with two members, 'prediction_id' and 'outcome', and at most a third, "
                "'correction'."
            )
        correction = self._correction(body.get("correction", False))
        prediction = read_id(body["prediction_id"], self.keys, self._days)
        declaration = self._declarations.get(prediction.model)
        if declaration is None:
            raise ValidationError("'prediction_id' is that of a model that is not served here.")
        outcome = to_outcome(prediction, declaration, body["outcome"])
        try:
            verdict = await self._call_store(self._store.add, outcome, correction)
        except StoreError as error:
            self._count[prediction.model, FAILED](1)
            raise StoreUnavailable(
                "The outcome could not be stored; send it again.", cause=str(error), headers=RETRY
            ) from error
        self._count[prediction.model, verdict.value](1)
        self._reported.set()
        if verdict is Verdict.CONTRADICTED:
            how = '; send "correction": true to replace it.' if self.token else f": {UNCORRECTED}."
            raise Conflict(f"This prediction has another outcome already, which stays{how}")
        return verdict

    def _correction(self, value: object) -> bool:
        """Return whether the outcome may replace another, which needs the token."""
        if not isinstance(value, bool):
            raise ValidationError("'correction' must be true or false.")
        if value and not self.token:
            raise ValidationError(f"{UNCORRECTED.capitalize()}: this needs FEEDBACK_TOKEN_FILE.")
        return value

    def refresh_keys(self) -> None:
        """Read the keys again, and show how many cannot be used."""
        self.keys.refresh()
        self._set_unreadable(len(self.keys.faults))

    async def run(self) -> None:
        """Refresh the quality metrics soon after a report and every few seconds, while the server runs."""
        if not self.token:
            log.warning("anybody can report outcomes", extra={"fields": {"instead": "FEEDBACK_TOKEN_FILE"}})
        while True:
            begun = monotonic()
            try:
                await self.refresh()
            except Exception:  # a defect must not end it in silence
                log.exception("quality cannot be shown")
            await asyncio.sleep(max(1.0, REST * (monotonic() - begun)))
            with suppress(TimeoutError):
                async with asyncio.timeout(REFRESH_SECONDS):
                    await self._reported.wait()
            self._reported.clear()

    async def refresh(self) -> None:
        """Show the quality by the stored outcomes; no quality while the store is unreachable."""
        since = int(time()) - self._window * SECONDS_A_DAY
        try:
            cells = {
                name: await self._call_store(self._store.cells, name, since) for name in self._declarations
            }
        except StoreError as error:
            self._set_store_up(False, cause=str(error))
            for gauges in self._quality_gauges:
                gauges.hide()
            return
        self._set_store_up(True)
        self.retention.store_answers.set()
        for gauges in self._quality_gauges:
            model = gauges.model
            of_version = [cell for cell in cells[model.name] if cell.version == model.version]
            gauges.show(assess(model.declaration, of_version))

    def close(self) -> None:
        self._store.close()

    def _set_store_up(self, up: bool, **fields: str) -> None:
        """Show whether the store answers, and log a change."""
        self._set_up(up)
        if up is not self._up:
            level, change = (logging.INFO, "are stored") if up else (logging.ERROR, "cannot be stored")
            log.log(level, "outcomes %s", change, extra={"fields": fields})
        self._up = up

    async def _call_store(self, call: Callable[..., Returned], *arguments: Any) -> Returned:
        """Call the store in a thread; StoreError where it takes longer than a client would wait."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await to_thread.run_sync(
                    call, *arguments, limiter=self._limiter, abandon_on_cancel=True
                )
        except TimeoutError:
            raise StoreError(f"no answer within {ANSWER_SECONDS} s") from None


def to_outcome(prediction: SignedPrediction, declaration: Declaration, reported: object) -> Outcome:
    """Return the outcome to store; ValidationError where the reported one is no class of the model."""
    names = accepted(declaration)
    if len(prediction.probabilities) != len(declaration.classes):
        raise ValidationError("'prediction_id' is that of a version with other classes.")
    # the check of the type keeps true from being read as 1, and lists out of the dictionary
    label = names.get(reported) if type(reported) in (int, float, str) else None  # type: ignore[call-overload]
    if label is None:
        listed = ", ".join(str(name) for name in names)
        raise ValidationError(f"'outcome' must be one of {listed}.")
    true = declaration.labels.index(label)
    probabilities = prediction.probabilities
    if declaration.binary:
        squared_error = (probabilities[1] - true) ** 2
    else:
        squared_error = sum(
            (probability - (index == true)) ** 2 for index, probability in enumerate(probabilities)
        )
    return Outcome(
        number=prediction.number,
        model=prediction.model,
        version=prediction.version,
        predicted_at=prediction.second,
        received_at=int(time()),
        predicted=declaration.labels[prediction.class_index],
        outcome=label,
        score=score(probabilities, prediction.class_index),
        squared_error=squared_error,
    )


def accepted(declaration: Declaration) -> dict[int | str, str]:
    """Return each accepted name of a class with its label: its `prediction` in responses, and the label."""
    shown: dict[int | str, str] = {class_.prediction: class_.label for class_ in declaration.classes}
    return shown | {label: label for label in declaration.labels}


class QualityGauges:
    """The gauges of one version. A series appears with its first value; it is NaN without one."""

    def __init__(self, model: ServedModel, vocabulary: Vocabulary) -> None:
        self.model = model
        self._vocabulary = vocabulary
        self._origin = {"model": model.name, "version": model.version}
        self._gauges: dict[tuple[str, ...], Recorder] = {}
        card = expected(model.manifest, threshold=model.threshold)
        self._set({("model_quality_expected", metric): value for metric, value in card.items()})
        self._card = set(self._gauges)

    def show(self, quality: Quality) -> None:
        values: dict[tuple[str, ...], float] = {}
        for (predicted, true), rows in quality.outcomes.items():
            values["model_outcomes", predicted, true] = rows
        for metric, estimate in quality.figures.items():
            values["model_quality", metric] = estimate.value
            for confidence_level, (lower, upper) in estimate.intervals.items():
                values["model_quality_lower", metric, confidence_level] = lower
                values["model_quality_upper", metric, confidence_level] = upper
        for score_bin, calibration in quality.calibration.items():
            name = f"{score_bin / SCORE_BINS:g} to {(score_bin + 1) / SCORE_BINS:g}"
            lower, upper = calibration.observed.intervals["0.95"]
            values["model_calibration_score", name] = calibration.score
            values["model_calibration_observed", name] = calibration.observed.value
            values["model_calibration_lower", name] = lower
            values["model_calibration_upper", name] = upper
        self.hide(set(values))
        self._set(values)

    def hide(self, still_known: AbstractSet[tuple[str, ...]] = frozenset()) -> None:
        """Set all series to NaN but those that are still known, and the card's."""
        for key in set(self._gauges) - self._card - still_known:
            self._gauges[key](math.nan)

    def _set(self, values: Mapping[tuple[str, ...], float]) -> None:
        for key, value in values.items():
            if key not in self._gauges:
                self._gauges[key] = self._gauge(*key)
            self._gauges[key](value)

    def _gauge(self, concept: str, *dimensions: str) -> Recorder:
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
