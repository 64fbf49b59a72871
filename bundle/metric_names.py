"""What a declaration calls a metric, and the names of a declaration that gives none."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from bundle.features import Declared, Name


class MetricName(Declared):
    """The name of a metric in this system's vocabulary, and its labels: label -> dimension."""

    name: Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]*$")]
    """name of the metric: lower case letters, digits and underscores"""
    labels: dict[Name, str] = Field(default={})
    """dimension that each label shows"""


MODEL = ("model", "version")


def labelled_by(dimensions: tuple[str, ...]) -> dict[str, str]:
    """Return a label for each dimension, named by it."""
    return {"model_version" if name == "version" else name: name for name in dimensions}


DEFAULT_METRICS = {
    concept: MetricName(name=name, labels=labelled_by(dimensions))
    for concept, name, dimensions in (
        ("requests", "http_requests_total", ("method", "endpoint", "status")),
        ("request_duration", "http_request_duration_seconds", ("method", "endpoint")),
        ("errors", "http_errors_total", ("error_type", "endpoint")),
        ("active_requests", "http_requests_in_flight", ()),
        ("predictions", "model_predictions_total", (*MODEL, "result")),
        ("prediction_duration", "model_prediction_duration_seconds", MODEL),
        ("confidence", "model_prediction_confidence", (*MODEL, "result")),
        ("model_loaded", "model_available", MODEL),
        ("expected_share", "model_expected_share", (*MODEL, "result")),
        ("expected_confidence", "model_expected_confidence", MODEL),
        ("model_info", "served_model_info", (*MODEL, "estimator", "estimator_type")),
    )
}
"""By concept: what a model without [metrics] measures, which rules and dashboards for such models read."""

NEEDED_BY_RULES: dict[str, tuple[str, ...]] = {
    "requests": ("method", "endpoint", "status"),
    "request_duration": ("endpoint",),
    "errors": ("error_type",),
    "active_requests": (),
    "predictions": ("version", "result"),
    "prediction_duration": (),
    "confidence": (),
    "model_loaded": (),
    "expected_share": (),
}
"""By concept: the dimensions that `make rules` needs a label for; the label of the endpoint has its name."""


def lacked_by_rules(metrics: Mapping[str, MetricName]) -> list[str]:
    """Return what [metrics] lacks of the names and labels that `make rules` needs, in words."""
    lacked = [f"metrics.{concept}" for concept in NEEDED_BY_RULES if concept not in metrics]
    for concept, dimensions in NEEDED_BY_RULES.items():
        labels = metrics[concept].labels if concept in metrics else labelled_by(dimensions)
        absent = [dimension for dimension in dimensions if dimension not in labels.values()]
        lacked += [f"a label of metrics.{concept} that shows {dimension}" for dimension in absent]
        if "endpoint" in set(dimensions) - set(absent) and labels.get("endpoint") != "endpoint":
            lacked.append(f"the name endpoint for the label of metrics.{concept} that shows the endpoint")
    return lacked
