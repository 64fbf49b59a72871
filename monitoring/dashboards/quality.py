"""The dashboard of the model's quality: metrics from reported outcomes, beside those of the card."""

from grafana_foundation_sdk.builders import dashboard as dashboards

from monitoring.dashboards.panels import (
    CHOSEN,
    MODEL,
    NAMESPACE,
    RELEASE,
    VERSION,
    new_dashboard,
    with_panels,
)
from monitoring.panels.quality import METRICS, Quality


def dashboard() -> dashboards.Dashboard:
    """Return the dashboard; its queries read what every model shows where feedback is on."""
    quality = Quality(CHOSEN)
    board = new_dashboard(
        "Model quality",
        "model-quality",
        "How good the model is by reported outcomes, compared with the metrics on its card.",
        variables=(NAMESPACE, RELEASE, MODEL, VERSION),
        labels_of="model_quality_expected",
        refresh="30s",
    )
    return with_panels(
        board,
        quality.store(),
        quality.outcomes(),
        quality.confusion(),
        quality.shares(),
        *(quality.metric(metric) for metric in METRICS),
        quality.calibration(),
        quality.feedback(),
    )
