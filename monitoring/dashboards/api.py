"""The dashboard of an API: requests, responses, predictions and the state of the model, in one vocabulary."""

from grafana_foundation_sdk.builders import dashboard as dashboards

from monitoring.dashboards.panels import (
    CHOSEN,
    MODEL,
    NAMESPACE,
    POD,
    RELEASE,
    VERSION,
    new_dashboard,
    with_panels,
)
from monitoring.panels.names import Names
from monitoring.panels.predictions import Predictions
from monitoring.panels.traffic import Traffic


def dashboard(names: Names, title: str, uid: str) -> dashboards.Dashboard:
    """Return the dashboard; one model is chosen at a time where the vocabulary shows the model."""
    names.label("predictions", "version")
    of_model = names.labels("predictions", "model")
    traffic, predictions = Traffic(names, CHOSEN), Predictions(names, CHOSEN)
    board = new_dashboard(
        title,
        uid,
        "Requests, predictions and the state of the model.",
        variables=(NAMESPACE, RELEASE, POD, *([MODEL] if of_model else []), VERSION),
        labels_of=names.series("predictions"),
    )
    return with_panels(
        board,
        predictions.status(),
        predictions.total(),
        traffic.errors(),
        traffic.success_rate(),
        traffic.requests(),
        traffic.durations(),
        traffic.percentiles(),
        predictions.by_result(),
        predictions.confidence(),
        predictions.latency(),
        traffic.error_rate(),
        traffic.by_pod(),
        traffic.active(),
        traffic.queue(),
        traffic.loop_lag(),
        traffic.shed(),
        traffic.connections(),
        traffic.closed_connections(),
        predictions.expectation(),
    )
