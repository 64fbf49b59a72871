"""Outcomes of predictions: accepted, stored, and shown as metrics of each version's quality."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from time import time
from typing import Any

from bundle.concepts import FEEDBACK, FEEDBACK_KEYS_UNREADABLE
from bundle.declaration import Declaration
from serving.bearer import BearerToken
from serving.errors import Conflict, StoreUnavailable, ValidationError
from serving.feedback.async_store import AsyncStore
from serving.feedback.outcomes import SECONDS_A_DAY, Outcome, StoreError, Verdict
from serving.feedback.prediction_counts import PredictionCounts
from serving.feedback.prediction_ids import RETRY, id_writer, read_id
from serving.feedback.quality_metrics import CountedDays, QualityMetrics
from serving.feedback.reports import UNCORRECTED, accepted, check_members, read_correction, to_outcome
from serving.feedback.retention import Retention
from serving.feedback.signing_keys import Keys
from serving.inference.catalogue import Prediction, ServedModel
from serving.metrics.vocabulary import Recorder, Vocabulary
from serving.setting_groups import FeedbackSettings

log = logging.getLogger("serving")

KEYS_SECONDS = 5
"""How long a removed key may still be used."""

FAILED = "failed"


class FeedbackService:
    """Accepts the outcomes of served models; its quality metrics, retention and keys are kept up to date."""

    def __init__(
        self, settings: FeedbackSettings, models: Sequence[ServedModel], vocabulary: Vocabulary
    ) -> None:
        self.keys = Keys(settings.keys)
        file = settings.token_file
        self.token = BearerToken("FEEDBACK_TOKEN_FILE", file, "the token for outcomes") if file else None
        self._days = settings.days
        # imported where outcomes are accepted: SQLAlchemy would cost every other server memory
        from serving.feedback.store import CONNECTIONS, Store  # noqa: PLC0415

        self._store = Store(settings.database)
        self._outcomes = AsyncStore(self._store, CONNECTIONS)
        self._counts = PredictionCounts(models)
        days = CountedDays(settings.window_days, settings.maturity_days)
        self._quality = QualityMetrics(models, days, self._outcomes, self._counts, vocabulary)
        self.retention = Retention(settings, self._outcomes.delete_old, self._quality.store_answers)
        self._declarations = {model.name: model.declaration for model in models}
        self._count = report_counters(self._declarations, vocabulary)
        self._set_unreadable = vocabulary.gauge(models[0].declaration, FEEDBACK_KEYS_UNREADABLE)
        self._set_unreadable(len(self.keys.faults))

    @property
    def outcomes(self) -> list[int | str]:
        """Every outcome that is accepted, those of the main model first."""
        return list(dict.fromkeys(chain.from_iterable(map(accepted, self._declarations.values()))))

    @property
    def example(self) -> int | str:
        return self.outcomes[0]

    def id_writer(self, model: ServedModel) -> Callable[[Prediction], str]:
        return id_writer(self.keys, model, self._counts.of(model))

    async def accept(self, body: Any) -> Verdict:
        """Store a reported outcome; ValidationError, Conflict, or StoreUnavailable where that fails."""
        check_members(body)
        correction = read_correction(body.get("correction", False), allowed=self.token is not None)
        outcome = self._outcome(body)
        try:
            verdict = await self._outcomes.add(outcome, correction)
        except StoreError as error:
            self._count[outcome.model, FAILED](1)
            raise StoreUnavailable(
                "The outcome could not be stored; send it again.", cause=str(error), headers=RETRY
            ) from error
        self._count[outcome.model, verdict.value](1)
        self._quality.reported.set()
        if verdict is Verdict.CONTRADICTED:
            how = '; send "correction": true to replace it.' if self.token else f": {UNCORRECTED}."
            raise Conflict(f"This prediction has another outcome already, which stays{how}")
        return verdict

    def _outcome(self, body: dict[str, Any]) -> Outcome:
        prediction = read_id(body["prediction_id"], self.keys, self._days)
        declaration = self._declarations.get(prediction.model)
        if declaration is None:
            raise ValidationError("'prediction_id' is that of a model that is not served here.")
        return to_outcome(prediction, declaration, body["outcome"])

    def refresh_keys(self) -> None:
        """Read the keys again, and show how many cannot be used."""
        self.keys.refresh()
        self._set_unreadable(len(self.keys.faults))

    async def run(self) -> None:
        """Keep the quality metrics up to date for as long as the server runs."""
        if not self.token:
            log.warning("anybody can report outcomes", extra={"fields": {"instead": "FEEDBACK_TOKEN_FILE"}})
        await self._quality.run()

    def close(self) -> None:
        """Store the last numbers of predictions, unless the database is away, and leave it."""
        if self._quality.up:
            with suppress(StoreError):
                self._store.count_predictions(self._counts.pending(int(time()) // SECONDS_A_DAY))
        self._store.close()


def report_counters(
    declarations: Mapping[str, Declaration], vocabulary: Vocabulary
) -> dict[tuple[str, str], Recorder]:
    """Return the counters of reports by model and verdict."""
    verdicts = (*(verdict.value for verdict in Verdict), FAILED)
    return {
        (name, verdict): vocabulary.counter(declaration, FEEDBACK, model=name, verdict=verdict)
        for name, declaration in declarations.items()
        for verdict in verdicts
    }
