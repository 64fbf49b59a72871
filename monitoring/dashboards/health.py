"""The dashboard of the model's health: how far rows and answers are from the training data."""

from grafana_foundation_sdk.builders import dashboard as dashboards

from monitoring.dashboards.panels import (
    CHOSEN,
    FEATURE,
    MODEL,
    NAMESPACE,
    RELEASE,
    VERSION,
    new_dashboard,
    single,
    with_panels,
)
from monitoring.panels.health import Health

REFERENCE = "feature_reference_share"


def dashboard() -> dashboards.Dashboard:
    """Return the dashboard; its queries read what every model shows."""
    health = Health(CHOSEN)
    board = new_dashboard(
        "Model health",
        "model-health",
        "Whether requests and predictions are still distributed like the training data.",
        variables=(NAMESPACE, RELEASE, MODEL, VERSION),
        labels_of=REFERENCE,
        refresh="30s",
    ).with_variable(single(*FEATURE, REFERENCE))
    return with_panels(
        board,
        health.drift(),
        health.drift_of_feature(),
        health.values(),
        health.score(),
        health.out_of_range(),
        health.rejected(),
        health.rows(),
        health.missing(),
    )
