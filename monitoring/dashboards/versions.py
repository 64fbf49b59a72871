"""The dashboard of two versions side by side: traffic, latency, errors, scores, shadow and quality."""

from grafana_foundation_sdk.builders import dashboard as dashboards

from monitoring.dashboards.panels import CHOSEN, MODEL, NAMESPACE, RELEASE, new_dashboard, with_panels
from monitoring.panels.versions import Versions


def dashboard() -> dashboards.Dashboard:
    """Return the dashboard; its queries read what every model shows while it has a candidate.

    Quality has data where outcomes are reported.
    """
    versions = Versions(CHOSEN)
    board = new_dashboard(
        "Model versions",
        "model-versions",
        "The served version and its candidate: their traffic, latency, errors and quality.",
        variables=(NAMESPACE, RELEASE, MODEL),
        labels_of="version_target_share",
    )
    return with_panels(
        board,
        versions.target_share(),
        versions.actual_share(),
        versions.canary(),
        versions.shadow(),
        versions.disagreement(),
        versions.requests(),
        versions.errors(),
        versions.latency(),
        versions.shadow_latency(),
        versions.scores(),
        versions.score_difference(),
        versions.shadow_rows(),
        versions.quality(),
    )
