"""The dashboard of the objectives: how much of the month's error budget is spent, and how fast."""

from grafana_foundation_sdk.builders import dashboard as dashboards

from monitoring.dashboards.panels import GREEN, RED, YELLOW, new_dashboard, series, share

NAMESPACE = 'namespace=~"$namespace"'
WINDOWS = ("1h", "6h", "1d", "3d")


def dashboard() -> dashboards.Dashboard:
    board = new_dashboard(
        "Heart disease API: objectives",
        "heart-disease-objectives",
        "99.5 % of predictions without 5xx and 99 % within 0.25 s, over a month.",
    )
    for name, ratio, allowed, page in (
        ("Errors", "job:prediction_failures:ratio_rate", 0.005, "PredictionErrorsFastBurn"),
        ("Slow answers", "job:prediction_slow:ratio_rate", 0.01, "PredictionLatencyFastBurn"),
    ):
        board = board.with_panel(
            share(
                f"{name}: budget left",
                f"Error budget left over three days: 1 without failures, 0 at {allowed:.1%}, the objective.",
                f"clamp_min(1 - max({ratio}3d{{{NAMESPACE}}}) / {allowed}, 0)",
                (None, RED),
                (0.25, YELLOW),
                (0.5, GREEN),
            )
        ).with_panel(
            series(
                f"{name}: burn rate",
                "1 spends the month's error budget in a month. An alert pages at 14.4 over an hour or 6 over "
                f"six hours, and warns at 3 over a day or 1 over three. Page: monitoring/runbooks/{page}.md",
                "none",
                *((f"max({ratio}{window}{{{NAMESPACE}}}) / {allowed}", window) for window in WINDOWS),
                width=18,
            )
        )
    return board.with_panel(
        series(
            "Requests that count",
            "Prediction requests over an hour, without those that got a 4xx response.",
            "short",
            (f"sum by (job) (job:prediction_requests:increase1h{{{NAMESPACE}}})", "{{job}}"),
            width=24,
        )
    )
