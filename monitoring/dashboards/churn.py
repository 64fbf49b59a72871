"""The dashboard of the churn system, which serves two versions side by side."""

from grafana_foundation_sdk.builders import dashboard as dashboards

from monitoring.dashboards.panels import (
    VERSION,
    alert_list,
    new_dashboard,
    number,
    parts,
    percentiles,
    series,
    share,
    status,
    while_up,
)
from monitoring.panels.objectives import PREDICTIONS
from monitoring.panels.panel import GREEN, RED, YELLOW

RATE = "[$__rate_interval]"
API = 'job="ml-api"'
OF_VERSION = 'model_version=~"$model_version"'


def dashboard() -> dashboards.Dashboard:
    predictions = f"ml_predictions_total{{{OF_VERSION}}}"
    failed = f'ml_predictions_total{{{OF_VERSION}, status="error"}}'
    return (
        new_dashboard(
            "ML API Monitoring Dashboard",
            "ml-api-monitoring",
            "The churn API and its two model versions.",
            variables=(VERSION,),
            labels_of="ml_predictions_total",
            refresh="5s",
        )
        .with_panel(
            status(
                "API Status",
                "Whether the API answers Prometheus' scrapes.",
                f"min(up{{{API}}}) or vector(0)",
                {"0": "down", "1": "up"},
            )
        )
        .with_panel(
            number(
                "Total Predictions",
                "Rows predicted, and failed requests, since the start.",
                "short",
                f"sum({predictions})",
            )
        )
        .with_panel(
            share(
                "Error Rate (2m)",
                "Share of predictions that failed in the last two minutes. HighErrorRate fires over 10 %. "
                "No data while the API does not answer.",
                while_up(f"sum(rate({failed}[2m])) / (sum(rate({predictions}[2m])) > 0) or vector(0)", API),
                (None, GREEN),
                (0.05, YELLOW),
                (0.1, RED),
            )
        )
        .with_panel(
            number(
                "P95 Latency",
                "95th percentile of prediction requests. HighLatency fires over 0.5 s.",
                "s",
                "histogram_quantile(0.95, sum by (le) "
                f"(rate(http_request_duration_seconds_bucket{{{PREDICTIONS}}}[5m]))) >= 0",
            )
        )
        .with_panel(
            series(
                "Request Rate by Model Version",
                "Predictions a second, failed ones included.",
                "cps",
                (f"sum by (model_version) (rate({predictions}{RATE}))", "{{model_version}}"),
            )
        )
        .with_panel(
            series(
                "Prediction Latency Percentiles",
                "Seconds that the model takes, by version.",
                "s",
                *percentiles(f"ml_prediction_duration_seconds_bucket{{{OF_VERSION}}}", by="model_version"),
            )
        )
        .with_panel(
            series(
                "Memory Usage",
                "Resident memory of the API.",
                "bytes",
                ("sum(app_memory_usage_bytes)", "memory"),
            )
        )
        .with_panel(
            series(
                "CPU Usage",
                "Percent of one core, over 15 s.",
                "percent",
                ("sum(app_cpu_usage_percent)", "CPU"),
            )
        )
        .with_panel(
            parts(
                "Predictions by Result",
                "Rows by predicted class, and failed requests, since the start.",
                "short",
                (f"sum by (prediction_result) ({predictions})", "{{prediction_result}}"),
            )
        )
        .with_panel(
            parts(
                "Predictions by Status",
                "Answered and failed, since the start.",
                "short",
                (f"sum by (status) ({predictions})", "{{status}}"),
            )
        )
        .with_panel(alert_list("Active Alerts", "Prometheus alerts that are pending or firing."))
    )
