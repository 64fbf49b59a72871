"""The dashboard of the fraud system."""

from grafana_foundation_sdk.builders import dashboard as dashboards

from monitoring.dashboards.panels import (
    new_dashboard,
    number,
    percentiles,
    series,
    share,
    while_up,
)
from monitoring.panels.panel import GREEN, RED, YELLOW

RATE = "[$__rate_interval]"
API = 'job="ml-model-service"'


def dashboard() -> dashboards.Dashboard:
    return (
        new_dashboard(
            "Fraud Model",
            "fraud-model",
            "Requests to the fraud model, simulated errors among them, and how long it takes.",
            variables=(),
        )
        .with_panel(
            number("Total Requests", "Prediction requests since the start.", "short", "sum(model_req_total)")
        )
        .with_panel(
            number(
                "Total Errors",
                "Requests since the start that failed, simulated errors included.",
                "short",
                "sum(total_error_total)",
            )
        )
        .with_panel(
            share(
                "Error Share",
                "Share of requests in the chosen time that count as failed. The stack simulates one in ten. "
                "No data while the API does not answer.",
                while_up(
                    "sum(increase(total_error_total[$__range])) "
                    "/ (sum(increase(model_req_total[$__range])) > 0)",
                    API,
                ),
                (None, GREEN),
                (0.15, YELLOW),
                (0.25, RED),
            )
        )
        .with_panel(
            number(
                "P95 Latency",
                "95th percentile of the model's time for a prediction.",
                "s",
                "histogram_quantile(0.95, sum by (le) (rate(model_latency_seconds_bucket[5m]))) >= 0",
            )
        )
        .with_panel(
            series(
                "Request Rate",
                "Requests a second, by version.",
                "reqps",
                (f"sum by (version) (rate(model_req_total{RATE}))", "{{version}}"),
            )
        )
        .with_panel(
            series(
                "Error Rate",
                "Requests a second that count as failed.",
                "reqps",
                (f"sum(rate(total_error_total{RATE}))", "errors"),
            )
        )
        .with_panel(
            series(
                "Latency",
                "Seconds that the model takes for a row or a batch.",
                "s",
                *percentiles("model_latency_seconds_bucket"),
                width=24,
            )
        )
    )
