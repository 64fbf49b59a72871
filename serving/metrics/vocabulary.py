"""The concepts we measure, bound to metric names and labels by the vocabulary of a model's declaration.

Labels come from closed sets only: declared routes and methods, statuses and error types that this code
can produce, classes of the model. Every series that a declared route or class can have exists at 0 from
the start, so that a rate over its first event is not lost. docs/metrics.md is the reference.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import prometheus_client
from prometheus_client import CollectorRegistry, Gauge, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.openmetrics import exposition as openmetrics

from bundle.declaration import Declaration, MetricName
from bundle.errors import BundleError
from serving.metrics.counts import Counts, Family

prometheus_client.disable_created_metrics()

LATENCY_BUCKETS = (
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
)

UNMATCHED = ("other", "unmatched")
"""Method and endpoint of a request that no declared route takes."""

HELP = {
    "requests": "Requests answered, by method, route and status.",
    "request_duration": "Seconds from request to answer, by method and route; no probes, scrapes, documents.",
    "errors": "Requests that failed, by error type and route.",
    "active_requests": "Requests being answered now; no probes, no scrapes.",
    "model_requests": "Prediction requests, failed ones included.",
    "model_errors": "Prediction requests that failed, or that a simulated error was injected into.",
    "predictions": "Rows answered, by predicted class; with a label for the outcome, failed requests, too.",
    "prediction_duration": "Seconds the engine took for a row or for a batch.",
    "confidence": "Probability of the predicted class, by class.",
    "model_loaded": "1 while the model is usable, 0 while it is not.",
    "model_info": "The model that is served; always 1.",
    "accuracy": "Share of rows that the evaluation saw predicted right.",
    "app_info": "The application; always 1.",
    "memory": "Resident memory of the process in bytes.",
    "cpu": "CPU use of the process over the last 15 s, in percent of one core.",
    "expected_share": "Share of rows that get this class among rows like the training data's.",
    "expected_confidence": "Mean confidence on rows like the training data's.",
    "feature_values": "Rows answered, by feature and bin of its value; the score is counted like a feature.",
    "feature_rejected": "Values that were refused, by feature.",
    "feature_out_of_range": "Values answered that lie outside of the training data's range, by feature.",
    "feature_reference_share": "Share of the training data's rows in each bin.",
    "feature_reference_rows": "Rows of the training data.",
    "feature_chi_square": "99.9 % quantile of the chi-square distribution, by number of bins.",
    "feedback": "Outcomes told: new, known, corrected, contradicted, or failed to be stored.",
    "feedback_store_up": "1 while the database of outcomes answers, 0 while it does not.",
    "feedback_keys_unreadable": "Keys of predictions that cannot be used; 1 more while none can sign.",
    "model_outcomes": "Outcomes in the window, by predicted and true class.",
    "model_quality": "Figure of the model by the outcomes in the window.",
    "model_quality_lower": "Lower end of the figure's interval.",
    "model_quality_upper": "Upper end of the figure's interval.",
    "model_quality_expected": "The figure on the model's card.",
    "model_calibration_score": "Mean score of the outcomes in a fifth of the scores.",
    "model_calibration_observed": "Share of them where what was forecast came true.",
    "model_calibration_lower": "Lower end of that share's 95 % interval.",
    "model_calibration_upper": "Upper end of that share's 95 % interval.",
    "version_requests": "Prediction requests to a version that stands beside another, by outcome.",
    "version_duration": "Seconds from a request's body to its answer, by version.",
    "version_target_share": "Share of requests that the version is meant to get, 0 to 1.",
    "shadow_rows": "Rows shown to a candidate: agreed, disagreed, failed, or dropped for want of time.",
    "shadow_difference": "Largest difference between a class's probability by candidate and served version.",
    "shadow_duration": "Seconds the candidate took for a row.",
    "shadow_up": "1 while the candidate answers in the shadow, 0 while it does not.",
}

OF_VERSION = {"model": "model", "model_version": "version"}
OF_FEATURE = OF_VERSION | {"feature": "feature"}
OF_BIN = OF_FEATURE | {"bin": "bin"}
OF_FIFTH = OF_VERSION | {"bin": "bin"}
OF_FIGURE = OF_VERSION | {"metric": "metric"}
OUTCOME = {"outcome": "outcome"}
CERTAINTY = {"confidence_level": "confidence_level"}
COMMON = {
    "feature_values": MetricName(name="feature_values_total", labels=OF_BIN),
    "feature_rejected": MetricName(name="feature_rejected_total", labels=OF_FEATURE),
    "feature_out_of_range": MetricName(name="feature_out_of_range_total", labels=OF_FEATURE),
    "feature_reference_share": MetricName(name="feature_reference_share", labels=OF_BIN),
    "feature_reference_rows": MetricName(name="feature_reference_rows", labels=OF_VERSION),
    "feature_chi_square": MetricName(
        name="feature_chi_square_quantile", labels=OF_VERSION | {"bins": "bins"}
    ),
    "feedback": MetricName(name="feedback_total", labels={"model": "model", "verdict": "verdict"}),
    "feedback_store_up": MetricName(name="feedback_store_up"),
    "feedback_keys_unreadable": MetricName(name="feedback_keys_unreadable"),
    "model_outcomes": MetricName(
        name="model_outcomes", labels=OF_VERSION | {"predicted": "predicted", "outcome": "outcome"}
    ),
    "model_quality": MetricName(name="model_quality", labels=OF_FIGURE),
    "model_quality_lower": MetricName(name="model_quality_lower", labels=OF_FIGURE | CERTAINTY),
    "model_quality_upper": MetricName(name="model_quality_upper", labels=OF_FIGURE | CERTAINTY),
    "model_quality_expected": MetricName(name="model_quality_expected", labels=OF_FIGURE),
    "model_calibration_score": MetricName(name="model_calibration_score", labels=OF_FIFTH),
    "model_calibration_observed": MetricName(name="model_calibration_observed", labels=OF_FIFTH),
    "model_calibration_lower": MetricName(name="model_calibration_lower", labels=OF_FIFTH),
    "model_calibration_upper": MetricName(name="model_calibration_upper", labels=OF_FIFTH),
    "version_requests": MetricName(name="version_requests_total", labels=OF_VERSION | OUTCOME),
    "version_duration": MetricName(name="version_duration_seconds", labels=OF_VERSION),
    "version_target_share": MetricName(name="version_target_share", labels=OF_VERSION),
    "shadow_rows": MetricName(name="shadow_rows_total", labels=OF_VERSION | OUTCOME),
    "shadow_difference": MetricName(name="shadow_difference", labels=OF_VERSION),
    "shadow_duration": MetricName(name="shadow_duration_seconds", labels=OF_VERSION),
    "shadow_up": MetricName(name="shadow_up", labels=OF_VERSION),
}
"""Names that are the same for every model, so that the same rules and dashboard read them all."""

Recorder = Callable[[float], None]
"""Adds to a counter, sets a gauge, or observes a value: a metric with its labels, ready to use."""


class WorkersCollector(MultiProcessCollector):
    """Adds up the gauges of all workers, but for files that a starting worker has made and not yet filled."""

    def __init__(self, registry: CollectorRegistry, folder: Path) -> None:
        super().__init__(registry, str(folder))  # type: ignore[no-untyped-call]
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        filled = []
        for file in self._folder.glob("*.db"):
            with suppress(FileNotFoundError):  # gone with its worker
                if file.stat().st_size:
                    filled.append(str(file))
        metrics: Iterable[Metric] = self.merge(filled, accumulate=True)  # type: ignore[no-untyped-call]
        return metrics


def exposition(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """Return the metrics of all workers and their content type: OpenMetrics where asked for, else text."""
    if "application/openmetrics-text" in accept:
        return openmetrics.generate_latest(registry), openmetrics.CONTENT_TYPE_LATEST
    return prometheus_client.generate_latest(registry), prometheus_client.CONTENT_TYPE_LATEST


def unmeasured(_: float) -> None:
    """Recorder nothing: the vocabulary has no name for the concept."""


class Vocabulary:
    """Makes the metrics that declarations name, in one registry.

    BundleError where a declaration names an unknown concept or dimension, or where two models that are
    served together give one metric different labels, or the same series. Several workers share what they
    count in a folder, which prometheus_client must know as PROMETHEUS_MULTIPROC_DIR when it is imported.
    """

    def __init__(self, registry: CollectorRegistry, workers_folder: Path | None = None) -> None:
        self._counts = Counts(registry, workers_folder)
        self._registry: CollectorRegistry | None = registry
        if workers_folder:
            WorkersCollector(registry, workers_folder)
            self._registry = None
        self._made: dict[str, Any] = {}
        self._owners: dict[tuple[str, ...], str] = {}

    def counter(self, declaration: Declaration, concept: str, **dimensions: str) -> Recorder:
        child = self._child(self._counts.counter, declaration, concept, dimensions)
        return child.inc if child else unmeasured

    def before_collecting(self, count: Callable[[], None]) -> None:
        """Have something counted before each scrape that this process answers."""
        self._counts.before_collecting(count)

    def histogram(
        self, declaration: Declaration, concept: str, buckets: Sequence[float], **dimensions: str
    ) -> Recorder:
        make = partial(self._counts.histogram, buckets=buckets)
        child = self._child(make, declaration, concept, dimensions)
        return child.observe if child else unmeasured

    def gauge(
        self, declaration: Declaration, concept: str, across_workers: str, **dimensions: str
    ) -> Recorder:
        """Return what sets the gauge; `across_workers` is one of prometheus_client's multiprocess modes."""
        make = partial(self.own_gauge, across_workers=across_workers)
        child = self._child(make, declaration, concept, dimensions)
        return child.set if child else unmeasured

    def own_gauge(
        self, name: str, documentation: str, labels: Sequence[str], *, across_workers: Any
    ) -> Gauge:
        """Return a gauge under a name of its own, whatever the declarations say."""
        return Gauge(name, documentation, labels, registry=self._registry, multiprocess_mode=across_workers)

    def up_down_counter(self, declaration: Declaration, concept: str) -> Recorder:
        """Return what adds to the gauge, or takes away: live workers add up."""
        child = self._child(self._counts.up_down_counter, declaration, concept, {})
        return child.inc if child else unmeasured

    def _child(
        self,
        make: Callable[[str, str, tuple[str, ...]], Any],
        declaration: Declaration,
        concept: str,
        dimensions: dict[str, str],
    ) -> Any:
        named = declaration.metrics.get(concept) or COMMON.get(concept)
        if named is None:
            return None
        try:
            labels = {label: dimensions[dimension] for label, dimension in named.labels.items()}
        except KeyError as error:
            known = ", ".join(dimensions) or "none"
            raise BundleError(
                f"model.toml of '{declaration.name}': metrics.{concept} has only {known}, not {error}"
            ) from None
        metric = self._made.get(named.name)
        if metric is None:
            metric = self._made[named.name] = make(named.name, HELP[concept], tuple(labels))
        series = (named.name, *labels.values())
        if self._owners.setdefault(series, declaration.name) != declaration.name:
            raise BundleError(
                f"the metric '{named.name}' does not tell '{declaration.name}' from "
                f"'{self._owners[series]}', which is served beside it: serve them in separate processes"
            )
        try:
            return metric.labels(**labels) if labels or isinstance(metric, Family) else metric
        except ValueError:
            raise BundleError(
                f"the metric '{named.name}' has other labels in '{declaration.name}' than in the model "
                "served beside it: serve them in separate processes"
            ) from None


def check_concepts(declaration: Declaration) -> None:
    """BundleError where the vocabulary names something that is not measured."""
    nameable = [concept for concept in HELP if concept not in COMMON]
    unknown = sorted(set(declaration.metrics) - set(nameable))
    if unknown:
        raise BundleError(
            f"model.toml of '{declaration.name}': metrics.{unknown[0]} is none of {', '.join(nameable)}"
        )


@dataclass(frozen=True)
class DeclaredRoute:
    """A method and route that requests can match, and the statuses and error types of its answers.

    Routes for probes, for scrapes and for the documentation's pages are counted and not `timed`.
    """

    method: str
    endpoint: str
    statuses: tuple[int, ...]
    error_types: tuple[str, ...]
    timed: bool


class HttpMetrics:
    """Requests, their durations and errors, in the vocabulary of the main model."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        declaration: Declaration,
        routes: Iterable[DeclaredRoute],
    ) -> None:
        self._vocabulary = vocabulary
        self._declaration = declaration
        self._requests: dict[tuple[str, str], dict[int, Recorder]] = {}
        self._durations: dict[tuple[str, str], Recorder] = {}
        self._errors: dict[tuple[str, str], Recorder] = {}
        self.add_active = vocabulary.up_down_counter(declaration, "active_requests")
        for declared in routes:
            route = (declared.method, declared.endpoint)
            for status in declared.statuses:
                self._request(route, status)(0)
            for error_type in declared.error_types:
                self._error(error_type, declared.endpoint)(0)
            if declared.timed:
                self._duration(route)
            else:
                self._durations[route] = unmeasured

    def count_response(self, route: tuple[str, str], status: int, seconds: float | None) -> None:
        """Count a response of a route (method, endpoint); `seconds` is None for probes and scrapes."""
        try:
            self._requests[route][status](1)
        except KeyError:
            self._request(route, status)(1)
        if seconds is None:
            return
        try:
            self._durations[route](seconds)
        except KeyError:
            self._duration(route)(seconds)

    def count_error(self, error_type: str, endpoint: str) -> None:
        self._error(error_type, endpoint)(1)

    def _request(self, route: tuple[str, str], status: int) -> Recorder:
        """Return the counter of a method, endpoint and status, made where there is none yet."""
        method, endpoint = route
        by_status = self._requests.setdefault(route, {})
        if status not in by_status:
            by_status[status] = self._vocabulary.counter(
                self._declaration, "requests", method=method, endpoint=endpoint, status=str(status)
            )
        return by_status[status]

    def _duration(self, route: tuple[str, str]) -> Recorder:
        method, endpoint = route
        if route not in self._durations:
            self._durations[route] = self._vocabulary.histogram(
                self._declaration, "request_duration", LATENCY_BUCKETS, method=method, endpoint=endpoint
            )
        return self._durations[route]

    def _error(self, error_type: str, endpoint: str) -> Recorder:
        key = (error_type, endpoint)
        if key not in self._errors:
            self._errors[key] = self._vocabulary.counter(
                self._declaration, "errors", error_type=error_type, endpoint=endpoint
            )
        return self._errors[key]
