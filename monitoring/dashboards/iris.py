"""The dashboard of the iris system."""

from grafana_foundation_sdk.builders import dashboard as dashboards

from monitoring.dashboards.panels import (
    new_dashboard,
    number,
    percentiles,
    series,
    share,
    while_up,
)
from monitoring.panels.objectives import PREDICTIONS
from monitoring.panels.panel import GREEN, RED, YELLOW

RATE = "[$__rate_interval]"
NO_PROBES = 'endpoint!~"/(livez|readyz|startupz|metrics)"'
API = 'job="ml-api"'


def dashboard() -> dashboards.Dashboard:
    requests = f"sum(increase(http_requests_total{{{PREDICTIONS}}}[$__range]))"
    failed = f'sum(increase(http_requests_total{{{PREDICTIONS}, status=~"5.."}}[$__range]))'
    return (
        new_dashboard(
            "ML API Dashboard",
            "ml-api",
            "Requests to the iris API and its predictions.",
            variables=(),
        )
        .with_panel(
            number(
                "Total Predictions",
                "Rows predicted since the API started.",
                "short",
                "sum(ml_predictions_total)",
            )
        )
        .with_panel(
            number(
                "Predictions per Minute",
                "Rows a minute, over the last five.",
                "short",
                "sum(rate(ml_predictions_total[5m])) * 60",
            )
        )
        .with_panel(
            share(
                "Model Accuracy",
                "Share of held-out rows that the evaluation found predicted right.",
                "max(ml_model_accuracy)",
                (None, RED),
                (0.8, YELLOW),
                (0.9, GREEN),
            )
        )
        .with_panel(
            share(
                "Error Rate",
                "Share of prediction requests in the chosen time that the server failed to answer (5xx). "
                "No data while the API does not answer.",
                while_up(f"{failed} / ({requests} > 0) or vector(0)", API),
                (None, GREEN),
                (0.01, YELLOW),
                (0.05, RED),
            )
        )
        .with_panel(
            series(
                "Latency",
                "50th, 95th and 99th percentile of prediction requests.",
                "s",
                *percentiles(f"http_request_duration_seconds_bucket{{{PREDICTIONS}}}"),
            )
        )
        .with_panel(
            series(
                "Requests by Endpoint",
                "Requests a second by route, probes left out.",
                "reqps",
                (
                    (f"sum by (endpoint) (rate(http_requests_total{{{NO_PROBES}}}{RATE})) > 0"),
                    "{{endpoint}}",
                ),
            )
        )
        .with_panel(
            series(
                "Prediction Rate by Class",
                "Rows a second by predicted species.",
                "cps",
                (f"sum by (prediction) (rate(ml_predictions_total{RATE}))", "{{prediction}}"),
                width=24,
            )
        )
    )
