"""What the server measures, in one table: it checks declarations, and docs/metrics.md is written from it.

A model's declaration gives a concept a metric name, and labels for its dimensions. Concepts with a `common`
name are named alike for all models, so that the same rules and dashboards read them.
"""

from dataclasses import dataclass
from typing import Literal

from bundle.declaration import Declaration
from bundle.errors import BundleError
from bundle.metric_names import MetricName, labelled_by

Kind = Literal["counter", "gauge", "histogram"]
AcrossWorkers = Literal["livemax", "livemin", "livemostrecent", "livesum"]
"""How prometheus_client combines the gauges of several workers."""

MODEL = ("model", "version", "estimator", "service")
VERSION = ("model", "version")
REFERENCE = (*VERSION, "reference")
FEATURE = (*REFERENCE, "feature")

LATENCY_BUCKETS = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5,
)  # fmt: skip
"""Upper bounds in seconds."""


@dataclass(frozen=True)
class Concept:
    """Something measured; `common` is its metric name where no model renames it."""

    name: str
    kind: Kind
    dimensions: tuple[str, ...]
    help: str
    common: str = ""
    across_workers: AcrossWorkers = "livemax"

    @property
    def common_name(self) -> MetricName | None:
        """The binding that all models share: labels are named by their dimensions."""
        return MetricName(name=self.common, labels=labelled_by(self.dimensions)) if self.common else None

    def name_in(self, declaration: Declaration) -> MetricName | None:
        """Return the metric name and labels of a model; None where it does not measure the concept."""
        return self.common_name or declaration.metrics.get(self.name)


REQUESTS = Concept(
    "requests", "counter", ("method", "endpoint", "status"), "Responses, by method, route and status."
)
REQUEST_DURATION = Concept(
    "request_duration",
    "histogram",
    ("method", "endpoint"),
    "Seconds from the request's last byte to the response, by method and route; without errors, probes, "
    "scrapes and documentation.",
)
QUEUE = Concept(
    "queue",
    "histogram",
    (),
    "Seconds that requests waited for the server before it began to answer.",
    common="request_queue_seconds",
)
LOOP_LAG = Concept(
    "loop_lag",
    "histogram",
    (),
    "Seconds by which the event loop was late, ten times a second: what arrives waits unread for as long.",
    common="event_loop_lag_seconds",
)
OPEN_CONNECTIONS = Concept(
    "open_connections", "gauge", (), "Open connections.", common="open_connections", across_workers="livesum"
)
CONNECTIONS_LIMIT = Concept(
    "connections_limit",
    "gauge",
    (),
    "Connections that may be open; a further one replaces another.",
    common="connections_limit",
    across_workers="livesum",
)
CLOSED_CONNECTIONS = Concept(
    "closed_connections",
    "counter",
    ("reason",),
    "Connections that the server closed early, by reason.",
    common="connections_closed_total",
)
ERRORS = Concept("errors", "counter", ("error_type", "endpoint"), "Failed requests, by error type and route.")
ACTIVE_REQUESTS = Concept("active_requests", "gauge", (), "In-flight requests, without probes and scrapes.")
MODEL_REQUESTS = Concept("model_requests", "counter", MODEL, "Prediction requests, including failed ones.")
MODEL_ERRORS = Concept(
    "model_errors",
    "counter",
    MODEL,
    "Prediction requests that failed, or that a simulated error was injected into.",
)
PREDICTIONS = Concept(
    "predictions",
    "counter",
    (*MODEL, "result", "outcome"),
    "Predicted rows, by predicted class; with a label for the outcome also failed requests.",
)
PREDICTION_DURATION = Concept(
    "prediction_duration", "histogram", MODEL, "Seconds of the engine for a row or a batch."
)
CONFIDENCE = Concept(
    "confidence", "histogram", (*MODEL, "result"), "Probability of the predicted class, by class."
)
MODEL_LOADED = Concept(
    "model_loaded",
    "gauge",
    MODEL,
    "1 while the model is available, 0 while it is unavailable.",
    across_workers="livemin",
)
CANDIDATE_LOADED = Concept(
    "candidate_loaded",
    "gauge",
    VERSION,
    "1 while the canary's candidate is available, 0 while the served version answers for it.",
    common="candidate_loaded",
    across_workers="livemin",
)
MODEL_INFO = Concept("model_info", "gauge", (*MODEL, "estimator_type", "path"), "The served model; always 1.")
BUNDLE_INFO = Concept(
    "bundle_info",
    "gauge",
    (*VERSION, "bundle_sha256"),
    "A served version, with the sha256 of its bundle; always 1.",
    common="served_bundle_info",
)
ACCURACY = Concept("accuracy", "gauge", MODEL, "Accuracy of the model in its evaluation.")
APP_INFO = Concept("app_info", "gauge", ("app_version", "service"), "The application; always 1.")
MEMORY = Concept("memory", "gauge", (), "Resident memory of the process in bytes.", across_workers="livesum")
CPU = Concept(
    "cpu",
    "gauge",
    (),
    "CPU use of the process over the last 15 s, in percent of one core.",
    across_workers="livesum",
)
EXPECTED_SHARE = Concept(
    "expected_share",
    "gauge",
    (*MODEL, "result"),
    "Share of rows predicted as this class in the evaluation.",
)
EXPECTED_CONFIDENCE = Concept("expected_confidence", "gauge", MODEL, "Mean confidence in the evaluation.")
FEATURE_VALUES = Concept(
    "feature_values",
    "counter",
    (*FEATURE, "bin"),
    "Predicted rows, by feature and bin of the value; the score is counted like a feature.",
    common="feature_values_total",
)
FEATURE_REJECTED = Concept(
    "feature_rejected",
    "counter",
    FEATURE,
    "Rejected values, by feature.",
    common="feature_rejected_total",
)
FEATURE_OUT_OF_RANGE = Concept(
    "feature_out_of_range",
    "counter",
    FEATURE,
    "Predicted values outside the range of the training data, by feature.",
    common="feature_out_of_range_total",
)
FEATURE_UNLISTED = Concept(
    "feature_unlisted",
    "counter",
    FEATURE,
    "Predicted values that are not among the codes of a category with `other`, by feature.",
    common="feature_unlisted_total",
)
FEATURE_REFERENCE_SHARE = Concept(
    "feature_reference_share",
    "gauge",
    (*FEATURE, "bin"),
    "Reference distribution: share of the training rows in each bin.",
    common="feature_reference_share",
)
FEATURE_REFERENCE_ROWS = Concept(
    "feature_reference_rows",
    "gauge",
    REFERENCE,
    "Training rows of the reference distribution.",
    common="feature_reference_rows",
)
FEATURE_CHI_SQUARE = Concept(
    "feature_chi_square",
    "gauge",
    (*REFERENCE, "bins"),
    "Quantile of the chi-square distribution that rows like the training data pass at most once in a year, "
    "by number of bins.",
    common="feature_chi_square_quantile",
)
FEEDBACK = Concept(
    "feedback",
    "counter",
    ("model", "verdict"),
    "Reported outcomes: new, known, corrected, contradicted, or failed to be stored.",
    common="feedback_total",
)
FEEDBACK_STORE_UP = Concept(
    "feedback_store_up",
    "gauge",
    (),
    "1 while the database of outcomes answers, 0 while it does not.",
    common="feedback_store_up",
    across_workers="livemin",
)
FEEDBACK_KEYS_UNREADABLE = Concept(
    "feedback_keys_unreadable",
    "gauge",
    (),
    "Signing keys that cannot be used; 1 more while none can sign.",
    common="feedback_keys_unreadable",
)
MODEL_OUTCOMES = Concept(
    "model_outcomes",
    "gauge",
    (*VERSION, "predicted", "outcome"),
    "Outcomes of predictions in the window, by predicted and true class.",
    common="model_outcomes",
    across_workers="livemostrecent",
)
MODEL_QUALITY = Concept(
    "model_quality",
    "gauge",
    (*VERSION, "metric"),
    "Metric of the model, by the outcomes in the window.",
    common="model_quality",
    across_workers="livemostrecent",
)
MODEL_QUALITY_LOWER = Concept(
    "model_quality_lower",
    "gauge",
    (*VERSION, "metric", "confidence_level"),
    "Lower bound of the metric's confidence interval.",
    common="model_quality_lower",
    across_workers="livemostrecent",
)
MODEL_QUALITY_UPPER = Concept(
    "model_quality_upper",
    "gauge",
    (*VERSION, "metric", "confidence_level"),
    "Upper bound of the metric's confidence interval.",
    common="model_quality_upper",
    across_workers="livemostrecent",
)
MODEL_QUALITY_EXPECTED = Concept(
    "model_quality_expected",
    "gauge",
    (*VERSION, "metric"),
    "The metric on the model's card.",
    common="model_quality_expected",
    across_workers="livemostrecent",
)
MODEL_QUALITY_EXPECTED_LOWER = Concept(
    "model_quality_expected_lower",
    "gauge",
    (*VERSION, "metric"),
    "Lower bound of the card's metric, 99.9 % confidence.",
    common="model_quality_expected_lower",
    across_workers="livemostrecent",
)
MODEL_QUALITY_EXPECTED_UPPER = Concept(
    "model_quality_expected_upper",
    "gauge",
    (*VERSION, "metric"),
    "Upper bound of the card's metric, 99.9 % confidence.",
    common="model_quality_expected_upper",
    across_workers="livemostrecent",
)
MODEL_QUALITY_EARLIER_LOWER = Concept(
    "model_quality_earlier_lower",
    "gauge",
    (*VERSION, "metric"),
    "Lower bound of the metric by outcomes of predictions before the window, 99 % confidence.",
    common="model_quality_earlier_lower",
    across_workers="livemostrecent",
)
MODEL_QUALITY_EARLIER_UPPER = Concept(
    "model_quality_earlier_upper",
    "gauge",
    (*VERSION, "metric"),
    "Upper bound of the metric by outcomes of predictions before the window, 99 % confidence.",
    common="model_quality_earlier_upper",
    across_workers="livemostrecent",
)
MODEL_WINDOW_PREDICTIONS = Concept(
    "model_window_predictions",
    "gauge",
    (*VERSION, "predicted"),
    "Predictions in the window, by predicted class; outcomes of them count.",
    common="model_window_predictions",
    across_workers="livemostrecent",
)
MODEL_OUTCOME_SHARE = Concept(
    "model_outcome_share",
    "gauge",
    (*VERSION, "predicted"),
    "Share of predictions in the window that have an outcome, by predicted class.",
    common="model_outcome_share",
    across_workers="livemostrecent",
)
MODEL_OUTCOME_SHARE_LOWER = Concept(
    "model_outcome_share_lower",
    "gauge",
    (*VERSION, "predicted"),
    "Lower bound of the share of predictions with an outcome, 99.9 % confidence.",
    common="model_outcome_share_lower",
    across_workers="livemostrecent",
)
MODEL_OUTCOME_SHARE_UPPER = Concept(
    "model_outcome_share_upper",
    "gauge",
    (*VERSION, "predicted"),
    "Upper bound of the share of predictions with an outcome, 99.9 % confidence.",
    common="model_outcome_share_upper",
    across_workers="livemostrecent",
)
MODEL_CALIBRATION_SCORE = Concept(
    "model_calibration_score",
    "gauge",
    (*VERSION, "bin"),
    "Mean score of the outcomes in a score bin.",
    common="model_calibration_score",
    across_workers="livemostrecent",
)
MODEL_CALIBRATION_OBSERVED = Concept(
    "model_calibration_observed",
    "gauge",
    (*VERSION, "bin"),
    "Observed frequency in a score bin.",
    common="model_calibration_observed",
    across_workers="livemostrecent",
)
MODEL_CALIBRATION_LOWER = Concept(
    "model_calibration_lower",
    "gauge",
    (*VERSION, "bin"),
    "Lower bound of the observed frequency's 95 % confidence interval.",
    common="model_calibration_lower",
    across_workers="livemostrecent",
)
MODEL_CALIBRATION_UPPER = Concept(
    "model_calibration_upper",
    "gauge",
    (*VERSION, "bin"),
    "Upper bound of the observed frequency's 95 % confidence interval.",
    common="model_calibration_upper",
    across_workers="livemostrecent",
)
VERSION_REQUESTS = Concept(
    "version_requests",
    "counter",
    (*VERSION, "outcome"),
    "Prediction requests to the served version and its candidate, by outcome.",
    common="version_requests_total",
)
VERSION_DURATION = Concept(
    "version_duration",
    "histogram",
    VERSION,
    "Seconds from a request's body to its response, by version.",
    common="version_duration_seconds",
)
VERSION_TARGET_SHARE = Concept(
    "version_target_share",
    "gauge",
    VERSION,
    "Target share of the requests, 0 to 1.",
    common="version_target_share",
    across_workers="livemostrecent",
)
SHADOW_ROWS = Concept(
    "shadow_rows",
    "counter",
    (*VERSION, "outcome"),
    "Mirrored rows: agreed, disagreed, failed, or dropped for lack of time.",
    common="shadow_rows_total",
)
SHADOW_DIFFERENCE = Concept(
    "shadow_difference",
    "histogram",
    VERSION,
    "Largest difference between a class's probability by the candidate and by the served version.",
    common="shadow_difference",
)
SHADOW_DURATION = Concept(
    "shadow_duration",
    "histogram",
    VERSION,
    "Seconds of the candidate for a row.",
    common="shadow_duration_seconds",
)
SHADOW_UP = Concept(
    "shadow_up",
    "gauge",
    VERSION,
    "1 while the candidate in the shadow answers, 0 while it does not.",
    common="shadow_up",
    across_workers="livemin",
)

CONCEPTS = tuple(concept for concept in globals().values() if isinstance(concept, Concept))
NAMEABLE = {concept.name: concept for concept in CONCEPTS if not concept.common}
"""Concepts that a declaration may name."""


def check_metrics(declaration: Declaration) -> None:
    """BundleError where a declaration names an unknown concept or dimension."""
    for name, metric in declaration.metrics.items():
        where = f"model.toml of '{declaration.name}': metrics.{name}"
        concept = NAMEABLE.get(name)
        if concept is None:
            raise BundleError(f"{where} is none of {', '.join(NAMEABLE)}")
        for dimension in metric.labels.values():
            if dimension not in concept.dimensions:
                known = ", ".join(concept.dimensions) or "none"
                raise BundleError(f"{where} has only {known}, not '{dimension}'")
