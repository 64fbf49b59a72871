"""The four systems that the one server runs: what their pages promise, and rows to predict."""

import os
from functools import cached_property
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray

from bundle.declaration import Declaration, load_declaration
from bundle.encoding import Encoder
from bundle.features import BooleanFeature, CategoryFeature, Feature, NumberFeature
from bundle.manifest import Manifest, load_manifest
from bundle.metric_names import DEFAULT_METRICS
from tests.harness import SAMPLE
from training.export import generate_rows

MODELS = Path(__file__).resolve().parent.parent / "models"
GENERATED = 200

Page = dict[str, tuple[set[str], set[str]]]
"""Metric -> required labels, and optional labels."""

HTTP: Page = {
    "http_requests_total": ({"method", "endpoint", "status"}, set()),
    "http_request_duration_seconds": ({"method", "endpoint"}, set()),
}
ALERTED: Page = {
    "http_errors_total": ({"error_type", "endpoint"}, set()),
    "http_requests_in_flight": (set(), set()),
}
"""In addition to the pages of iris and fraud: what alerts read."""
BY_FEATURE = {"model", "model_version", "reference", "feature"}
COMMON: Page = {
    "feature_values_total": (BY_FEATURE | {"bin"}, set()),
    "feature_rejected_total": (BY_FEATURE, set()),
    "feature_out_of_range_total": (BY_FEATURE, set()),
    "feature_reference_share": (BY_FEATURE | {"bin"}, set()),
    "feature_reference_rows": ({"model", "model_version", "reference"}, set()),
    "feature_chi_square_quantile": ({"model", "model_version", "reference", "bins"}, set()),
    "served_bundle_info": ({"model", "model_version", "bundle_sha256"}, set()),
    "request_queue_seconds": (set(), set()),
    "event_loop_lag_seconds": (set(), set()),
    "open_connections": (set(), set()),
    "connections_limit": (set(), set()),
    "connections_closed_total": ({"reason"}, set()),
}
"""In addition to every page: the metrics for drift, of what waits, and of the served bundles."""

PAGES: dict[str, Page] = {
    "heart-disease": {
        "api_requests_total": ({"method", "endpoint", "status_code"}, set()),
        "predictions_total": ({"prediction_result", "model_name"}, {"model_version"}),
        "api_errors_total": ({"error_type", "endpoint"}, set()),
        "api_request_duration_seconds": ({"method", "endpoint"}, set()),
        "prediction_duration_seconds": (set(), {"model_version"}),
        "prediction_confidence_score": ({"prediction_result"}, {"model_version"}),
        "active_requests": (set(), set()),
        "model_loaded": (set(), {"model_version"}),
        "model_info": ({"model_name", "model_type", "path"}, {"model_version"}),
        # in addition to the page: what alerts compare the answers with
        "prediction_expected_share": ({"prediction_result", "model_version"}, set()),
        "prediction_expected_confidence": ({"model_version"}, set()),
    },
    "iris": HTTP
    | ALERTED
    | {
        "ml_predictions_total": ({"model", "prediction"}, set()),
        "ml_prediction_duration_seconds": ({"model"}, set()),
        "ml_model_accuracy": ({"model"}, set()),
        "ml_model_loaded": ({"model", "model_version"}, set()),  # likewise
    },
    "churn": HTTP
    | {
        "ml_predictions_total": ({"model_version", "prediction_result", "status"}, set()),
        "ml_prediction_duration_seconds": ({"model_version"}, set()),
        "app_memory_usage_bytes": (set(), set()),
        "app_cpu_usage_percent": (set(), set()),
        "model_loaded": ({"model_version"}, set()),
        "app_info": ({"version", "app_name"}, set()),
    },
    "fraud": HTTP
    | ALERTED
    | {
        "model_req_total": ({"model_name", "version"}, set()),
        "model_latency_seconds": ({"model_name"}, set()),
        "total_error_total": ({"model_name"}, set()),
        "model_up": ({"model_name", "version"}, set()),  # likewise
    },
}

ANSWERS: dict[str, list[tuple[dict[str, Any], str]]] = {
    "heart-disease": [(SAMPLE, "no_disease")],
    "iris": [
        (dict(zip(("sepal_length", "sepal_width", "petal_length", "petal_width"), row, strict=True)), species)
        for row, species in (
            ((5.1, 3.5, 1.4, 0.2), "setosa"),
            ((6.0, 2.7, 4.5, 1.5), "versicolor"),
            ((6.7, 3.0, 5.5, 2.1), "virginica"),
        )
    ],
    "churn": [
        (
            {
                "tenure": 12, "MonthlyCharges": 59.95, "TotalCharges": 720.50, "Contract": "One year",
                "PaymentMethod": "Electronic check", "OnlineSecurity": "No", "TechSupport": "No",
                "InternetService": "DSL", "gender": "Female", "SeniorCitizen": "No", "Partner": "Yes",
                "Dependents": "No", "PhoneService": "Yes", "MultipleLines": "No", "PaperlessBilling": "Yes",
                "OnlineBackup": "Yes", "DeviceProtection": "No", "StreamingTV": "No", "StreamingMovies": "No",
            },
            "No",
        ),
    ],
    "fraud": [
        (
            {
                "amount": 129.9, "hour": 3, "distance_km": 412.0, "merchant_risk": 0.7, "previous_24h": 9,
                "card_present": 0,
            },
            "fraud_detected",
        ),
        (
            {
                "amount": 20, "hour": 14, "distance_km": 3, "merchant_risk": 0.1, "previous_24h": 1,
                "card_present": "yes",
            },
            "legitimate",
        ),
    ],
}  # fmt: skip
"""The rows of each system's page, and the labels that they must get."""

OWN_MODELS = Path(os.environ["OWN_MODELS"]) if "OWN_MODELS" in os.environ else None
"""A folder of models that are tried instead of this project's (tests/tables.py)."""

SYSTEMS = sorted(path.name for path in OWN_MODELS.iterdir()) if OWN_MODELS else list(PAGES)

DEFAULT_PAGE: Page = {named.name: (set(named.labels), set()) for named in DEFAULT_METRICS.values()}


class System:
    """A model of this project, or one without [metrics] of OWN_MODELS, by its main version."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.folder = (OWN_MODELS or MODELS) / name
        self.page = (DEFAULT_PAGE if OWN_MODELS else PAGES[name]) | COMMON
        self.declaration: Declaration = load_declaration(self.folder)
        if any(isinstance(f, CategoryFeature) and f.other for f in self.declaration.features):
            self.page = self.page | {"feature_unlisted_total": (BY_FEATURE, set())}
        self.version = self.declaration.default_version
        self.sample: dict[str, Any] = self.declaration.example
        numbers = [f for f in self.declaration.features if isinstance(f, NumberFeature)]
        self.number = min(numbers, key=lambda feature: feature.nullable)

    @cached_property
    def manifest(self) -> Manifest:
        return load_manifest(self.folder / self.version, self.declaration)

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """Rows of the training data that show every category, and generated ones over all ranges."""
        features = self.declaration.features
        generated = [
            {feature.name: _sent(feature, value) for feature, value in zip(features, row, strict=True)}
            for row in generate_rows(self.declaration, self.manifest.distribution)[:GENERATED]
        ]
        return [dict(probe.row) for probe in self.manifest.probes] + generated

    @cached_property
    def answers(self) -> list[tuple[dict[str, Any], str]]:
        """Documented rows and their labels; of a model of OWN_MODELS, its example and scikit-learn's."""
        if not OWN_MODELS:
            return ANSWERS[self.name]
        (label,) = self._labels(self._probabilities(self.version, [self.sample]))
        return [(self.sample, label)]

    @property
    def most_series(self) -> int:
        """Return how many series a process may have: those of a model grow with its features and classes."""
        features, classes = len(self.declaration.features), len(self.declaration.classes)
        return max(700, 300 + 20 * features + 40 * classes)

    @property
    def counts_failures(self) -> bool:
        """Return whether failed requests are counted among the predictions, with the result `error`."""
        predictions = self.declaration.metrics.get("predictions")
        return predictions is not None and "outcome" in predictions.labels.values()

    def expected(self, version: str) -> NDArray[np.float64]:
        """Return scikit-learn's probabilities [rows, classes] for the rows."""
        return self._probabilities(version, self.rows)

    def _probabilities(self, version: str, rows: list[dict[str, Any]]) -> NDArray[np.float64]:
        pipeline = joblib.load(self.folder / version / "model.joblib")
        return np.asarray(pipeline.predict_proba(Encoder(self.declaration).encode(rows)))

    def predicted(self, version: str) -> list[str]:
        """Return the label of each row by scikit-learn."""
        return self._labels(self.expected(version))

    def _labels(self, probabilities: NDArray[np.float64]) -> list[str]:
        threshold = self.declaration.threshold
        index = probabilities.argmax(axis=1) if threshold is None else probabilities[:, 1] >= threshold
        return [self.declaration.labels[int(i)] for i in index]

    def row_of(self, label: str) -> dict[str, Any]:
        """Return a row whose predicted class is this one."""
        return self.rows[self.predicted(self.version).index(label)]


def _sent(feature: Feature, value: float) -> bool | float | None:
    """Return an encoded value as clients send it, a category as its code."""
    if np.isnan(value):
        return None
    if isinstance(feature, BooleanFeature):
        return feature.sent(value)
    return float(value) if feature.type == "number" else int(value)
