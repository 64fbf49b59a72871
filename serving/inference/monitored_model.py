"""A served model as the metrics see it: timed, counted, probed, and set aside while it does not work."""

import logging
from collections.abc import Callable, Iterable
from time import perf_counter
from typing import TypeVar

from bundle.encoding import Matrix
from bundle.errors import FieldError
from serving.errors import ModelNotLoaded
from serving.inference.catalogue import Answer, ServedModel
from serving.inference.drift import DriftCounts
from serving.inference.engine import EngineError
from serving.inference.explanations import Explanation
from serving.metrics.vocabulary import LATENCY_BUCKETS, Record, Vocabulary, check_concepts, unmeasured

Given = TypeVar("Given")
Answered = TypeVar("Answered")

log = logging.getLogger("serving")

BUCKETS_OF_CONFIDENCE = 10


def confidence_buckets(classes: int) -> list[float]:
    """Return bounds from 1/classes, the least confidence there is, to 1: by 0.05 for two classes."""
    least = 1 / classes
    step = (1 - least) / BUCKETS_OF_CONFIDENCE
    return [round(least + step * number, 4) for number in range(BUCKETS_OF_CONFIDENCE + 1)]


class MonitoredModel:
    """Answers with a model while it works. The first failure sets it aside until its probes pass again."""

    def __init__(self, model: ServedModel, vocabulary: Vocabulary) -> None:
        self.model = model
        self.usable = False
        self._origin = {"model": model.name, "version": model.version}
        declaration, manifest = model.declaration, model.manifest
        check_concepts(declaration)
        dimensions = self._origin | {"estimator": manifest.estimator.name, "service": declaration.service}
        self._observe_duration = vocabulary.histogram(
            declaration, "prediction_duration", LATENCY_BUCKETS, **dimensions
        )
        buckets = confidence_buckets(len(declaration.classes))
        self._count = [
            vocabulary.counter(declaration, "predictions", result=label, outcome="success", **dimensions)
            for label in declaration.labels
        ]
        self._count_failed = self._failed_predictions(vocabulary, dimensions)
        self._count_request = vocabulary.counter(declaration, "model_requests", **dimensions)
        self._count_error = vocabulary.counter(declaration, "model_errors", **dimensions)
        self._observe_confidence = [
            vocabulary.histogram(declaration, "confidence", buckets, result=label, **dimensions)
            for label in declaration.labels
        ]
        self._set_loaded = vocabulary.gauge(declaration, "model_loaded", "livemin", **dimensions)
        set_info = vocabulary.gauge(
            declaration,
            "model_info",
            "livemax",
            estimator_type=manifest.estimator.type,
            path=f"{model.name}/{model.version}",
            **dimensions,
        )
        set_info(1)
        if accuracy := manifest.evaluation.metrics.get("accuracy"):
            vocabulary.gauge(declaration, "accuracy", "livemax", **dimensions)(accuracy.value)
        self._show_expectation(vocabulary, dimensions)
        self._drift = DriftCounts(model, vocabulary)
        self.probe()

    def asked(self) -> None:
        """Count a prediction request."""
        self._count_request(1)

    def failed(self) -> None:
        """Count a prediction request that got an error."""
        self._count_error(1)
        self._count_failed(1)

    def count_pending(self) -> None:
        """Count the rows of the last second for drift."""
        self._drift.count_pending()

    def refused(self, faults: Iterable[FieldError]) -> None:
        """Count values that the model does not accept."""
        self._drift.refused(faults)

    def simulated_error(self) -> None:
        """Count an error that was injected into a request that got its answer."""
        self._count_error(1)

    def predict(self, matrix: Matrix) -> list[Answer]:
        """Return an answer for each row; ModelNotLoaded while the model is set aside."""
        answers = self._timed(self.model.predict, matrix)
        for answer in answers:
            self._count[answer.index](1)
            self._observe_confidence[answer.index](answer.confidence)
        self._drift.rows(matrix, answers)
        return answers

    def predict_row(self, values: list[float]) -> Answer:
        """Return the answer for one encoded row; ModelNotLoaded while the model is set aside."""
        answer = self._timed(self.model.predict_row, values)
        self._count[answer.index](1)
        self._observe_confidence[answer.index](answer.confidence)
        self._drift.row(values, answer)
        return answer

    def explain(self, values: list[float], answer: Answer) -> Explanation:
        """Explain the answer to one encoded row; ModelNotLoaded where the model fails."""
        try:
            return self.model.explain(values, answer)
        except EngineError as error:
            raise self._failed(error) from error

    def _timed(self, predict: Callable[[Given], Answered], given: Given) -> Answered:
        if not self.usable:
            raise ModelNotLoaded(f"The model {self.model.name} is not usable; it is tried again by itself.")
        start = perf_counter()
        try:
            return predict(given)
        except EngineError as error:
            raise self._failed(error) from error
        finally:
            self._observe_duration(perf_counter() - start)

    def probe(self) -> None:
        """Ask the model what training asked it; set it aside, or take it back, by its answers."""
        try:
            self.model.check_probes()
        except EngineError as error:
            self._set_aside(error)
            return
        if not self.usable:
            log.info("model usable", extra={"fields": self._origin})
        self.usable = True
        self._set_loaded(1)

    def _failed_predictions(self, vocabulary: Vocabulary, dimensions: dict[str, str]) -> Record:
        """Return what counts a failed request among the predictions, where a label tells them apart."""
        declaration = self.model.declaration
        named = declaration.metrics.get("predictions")
        if named is None or "outcome" not in named.labels.values():
            return unmeasured
        return vocabulary.counter(declaration, "predictions", result="error", outcome="error", **dimensions)

    def _show_expectation(self, vocabulary: Vocabulary, dimensions: dict[str, str]) -> None:
        """Show what answers should look like; with another threshold than the bundle's nobody knows."""
        manifest = self.model.manifest
        if self.model.threshold != manifest.threshold:
            return
        expectation, declaration = manifest.evaluation.expectation, self.model.declaration
        for label, share in expectation.shares.items():
            vocabulary.gauge(declaration, "expected_share", "livemax", result=label, **dimensions)(share)
        vocabulary.gauge(declaration, "expected_confidence", "livemax", **dimensions)(expectation.confidence)

    def _failed(self, error: EngineError) -> ModelNotLoaded:
        """Set the model aside, and return what the client is told."""
        self._set_aside(error)
        return ModelNotLoaded(
            f"The model {self.model.name} failed and is set aside; it is tried again by itself.",
            cause=str(error),
        )

    def _set_aside(self, error: EngineError) -> None:
        if self.usable:
            log.error("model set aside", extra={"fields": self._origin | {"cause": str(error)}})
        self.usable = False
        self._set_loaded(0)
