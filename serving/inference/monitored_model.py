"""A served model that is timed, counted and probed, and unavailable from a failure until its probes pass."""

import logging
from collections.abc import Callable, Iterable
from time import perf_counter
from typing import TypeVar

from bundle.concepts import (
    ACCURACY,
    BUNDLE_INFO,
    CANDIDATE_LOADED,
    CONFIDENCE,
    EXPECTED_CONFIDENCE,
    EXPECTED_SHARE,
    LATENCY_BUCKETS,
    MODEL_ERRORS,
    MODEL_INFO,
    MODEL_LOADED,
    MODEL_REQUESTS,
    PREDICTION_DURATION,
    PREDICTIONS,
)
from bundle.encoding import Matrix
from bundle.errors import FieldError
from serving.errors import ModelNotLoaded
from serving.inference.catalogue import Prediction, ServedModel
from serving.inference.drift import DriftCounts
from serving.inference.engine import EngineError
from serving.inference.explanations import Explanation
from serving.metrics.vocabulary import Recorder, Vocabulary, unmeasured

Input = TypeVar("Input")
Output = TypeVar("Output")

log = logging.getLogger("serving")

CONFIDENCE_BUCKETS = 10
RECOVERY = "it answers again once its probe rows pass"


def confidence_buckets(classes: int) -> list[float]:
    """Return bounds from 1/classes, the least confidence there is, to 1: by 0.05 for two classes."""
    least = 1 / classes
    step = (1 - least) / CONFIDENCE_BUCKETS
    return [round(least + step * number, 4) for number in range(CONFIDENCE_BUCKETS + 1)]


class MonitoredModel:
    """Predicts with a model. A failure marks it unavailable until its probes pass again.

    A canary's candidate has another metric for that: clients get the served version's answers meanwhile.
    """

    def __init__(self, model: ServedModel, vocabulary: Vocabulary, *, candidate: bool = False) -> None:
        self.model = model
        self.available = False
        self._origin = {"model": model.name, "version": model.version}
        declaration, manifest = model.declaration, model.manifest
        dimensions = self._origin | {"estimator": manifest.estimator.name, "service": declaration.service}
        self._observe_duration = vocabulary.histogram(
            declaration, PREDICTION_DURATION, LATENCY_BUCKETS, **dimensions
        )
        buckets = confidence_buckets(len(declaration.classes))
        self._count_prediction = [
            vocabulary.counter(declaration, PREDICTIONS, result=label, outcome="success", **dimensions)
            for label in declaration.labels
        ]
        self._count_failed_prediction = self._failed_prediction_counter(vocabulary, dimensions)
        self._count_model_request = vocabulary.counter(declaration, MODEL_REQUESTS, **dimensions)
        self._count_model_error = vocabulary.counter(declaration, MODEL_ERRORS, **dimensions)
        self._observe_confidence = [
            vocabulary.histogram(declaration, CONFIDENCE, buckets, result=label, **dimensions)
            for label in declaration.labels
        ]
        self._set_loaded = (
            vocabulary.gauge(declaration, CANDIDATE_LOADED, **self._origin)
            if candidate
            else vocabulary.gauge(declaration, MODEL_LOADED, **dimensions)
        )
        self._set_constants(vocabulary, dimensions)
        if not candidate:
            vocabulary.gauge(declaration, BUNDLE_INFO, **self._origin, bundle_sha256=manifest.sha256)(1)
        self._drift = DriftCounts(model, vocabulary)
        self.probe()

    def count_request(self) -> None:
        """Count a prediction request."""
        self._count_model_request(1)

    def count_failure(self) -> None:
        """Count a prediction request that failed."""
        self._count_model_error(1)
        self._count_failed_prediction(1)

    def count_pending(self) -> None:
        """Count for drift the rows added since the last call."""
        self._drift.count_pending()

    def count_rejected(self, faults: Iterable[FieldError]) -> None:
        """Count values that the model does not accept."""
        self._drift.count_rejected(faults)

    def count_simulated_error(self) -> None:
        """Count an error that was injected into a request that succeeded."""
        self._count_model_error(1)

    def predict(self, matrix: Matrix) -> list[Prediction]:
        """Return a prediction for each row; ModelNotLoaded while the model is unavailable."""
        predictions = self._timed(self.model.predict, matrix)
        for prediction in predictions:
            self._count_prediction[prediction.class_index](1)
            self._observe_confidence[prediction.class_index](prediction.confidence)
        self._drift.add_rows(matrix, predictions)
        return predictions

    def predict_row(self, values: list[float]) -> Prediction:
        """Return the prediction for one encoded row; ModelNotLoaded while the model is unavailable."""
        prediction = self._timed(self.model.predict_row, values)
        self._count_prediction[prediction.class_index](1)
        self._observe_confidence[prediction.class_index](prediction.confidence)
        self._drift.add_row(values, prediction)
        return prediction

    def explain(self, values: list[float], prediction: Prediction) -> Explanation:
        """Explain the prediction for one encoded row; ModelNotLoaded where the model fails."""
        try:
            return self.model.explain(values, prediction)
        except EngineError as error:
            raise self._failure(error) from error

    def _timed(self, predict: Callable[[Input], Output], encoded: Input) -> Output:
        if not self.available:
            raise ModelNotLoaded(f"The model {self.model.name} is unavailable; {RECOVERY}.")
        start = perf_counter()
        try:
            return predict(encoded)
        except EngineError as error:
            raise self._failure(error) from error
        finally:
            self._observe_duration(perf_counter() - start)

    def probe(self) -> None:
        """Predict the probe rows; the model is available when all match what training recorded."""
        try:
            self.model.check_probes()
        except EngineError as error:
            self._mark_unavailable(error)
            return
        if not self.available:
            log.info("model available", extra={"fields": self._origin})
        self.available = True
        self._set_loaded(1)

    def _failed_prediction_counter(self, vocabulary: Vocabulary, dimensions: dict[str, str]) -> Recorder:
        """Return the counter of failed requests among the predictions, where a label marks them."""
        declaration = self.model.declaration
        named = PREDICTIONS.name_in(declaration)
        if named is None or "outcome" not in named.labels.values():
            return unmeasured
        return vocabulary.counter(declaration, PREDICTIONS, result="error", outcome="error", **dimensions)

    def _set_constants(self, vocabulary: Vocabulary, dimensions: dict[str, str]) -> None:
        """Set the gauges that describe the version, and do not change."""
        model, declaration, manifest = self.model, self.model.declaration, self.model.manifest
        path = f"{model.name}/{model.version}"
        info = dimensions | {"estimator_type": manifest.estimator.type, "path": path}
        vocabulary.gauge(declaration, MODEL_INFO, **info)(1)
        if accuracy := manifest.evaluation.metrics.get("accuracy"):
            vocabulary.gauge(declaration, ACCURACY, **dimensions)(accuracy.value)
        self._set_expectation(vocabulary, dimensions)

    def _set_expectation(self, vocabulary: Vocabulary, dimensions: dict[str, str]) -> None:
        """Show expected shares and confidence; they are unknown for a threshold other than the bundle's."""
        manifest = self.model.manifest
        if self.model.threshold != manifest.threshold:
            return
        expectation, declaration = manifest.evaluation.expectation, self.model.declaration
        for label, share in expectation.shares.items():
            vocabulary.gauge(declaration, EXPECTED_SHARE, result=label, **dimensions)(share)
        vocabulary.gauge(declaration, EXPECTED_CONFIDENCE, **dimensions)(expectation.confidence)

    def _failure(self, error: EngineError) -> ModelNotLoaded:
        """Mark the model unavailable, and return the error for the client."""
        self._mark_unavailable(error)
        return ModelNotLoaded(
            f"The model {self.model.name} failed and is unavailable; {RECOVERY}.",
            cause=str(error),
        )

    def _mark_unavailable(self, error: EngineError) -> None:
        if self.available:
            log.error("model unavailable", extra={"fields": self._origin | {"cause": str(error)}})
        self.available = False
        self._set_loaded(0)
