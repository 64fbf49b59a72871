"""The dashboard of the API: requests, responses, predictions and the state of the model."""

from grafana_foundation_sdk.builders import dashboard as dashboards

from monitoring.alerting.objectives import APP, LATENCY, SLOW_SECONDS
from monitoring.dashboards.panels import (
    GREEN,
    PREDICTIONS,
    RED,
    SELECTOR,
    YELLOW,
    distribution,
    new_dashboard,
    number,
    percentiles,
    series,
    share,
    status,
    while_up,
)

RATE = "[$__rate_interval]"
VERSION = f'{SELECTOR}, model_version=~"$model_version"'


def dashboard() -> dashboards.Dashboard:
    requests = f"sum(increase(api_requests_total{{{PREDICTIONS}}}[$__range]))"
    successes = f'sum(increase(api_requests_total{{{PREDICTIONS}, status_code=~"2.."}}[$__range]))'
    return (
        new_dashboard(
            "Heart disease API",
            "heart-disease-api",
            "Requests, predictions and the state of the model.",
            labels_of="predictions_total",
        )
        .with_panel(
            status(
                "Model Status",
                "Red if the model of any pod is unavailable, and if no pod reports. "
                "Page: monitoring/runbooks/ModelNotLoaded.md",
                f"min(model_loaded{{{VERSION}}}) or vector(0)",
                {"0": "unavailable", "1": "loaded"},
            )
        )
        .with_panel(
            number(
                "Total Predictions",
                "Rows predicted in the chosen time range.",
                "short",
                f"sum(increase(predictions_total{{{VERSION}}}[$__range]))",
            )
        )
        .with_panel(
            number(
                "Total Errors",
                "Requests that failed in the chosen time range, by the client's or the server's fault.",
                "short",
                f"sum(increase(api_errors_total{{{SELECTOR}}}[$__range]))",
            )
        )
        .with_panel(
            share(
                "Success Rate",
                "Share of prediction requests in the chosen time range that got a 2xx response. No data "
                "while no pod answers.",
                while_up(f"{successes} / ({requests} > 0)", f"{APP}, {SELECTOR}"),
                (None, RED),
                (0.9, YELLOW),
                (0.995, GREEN),
            )
        )
        .with_panel(
            series(
                "Total API Requests",
                "Requests a second by method, route and status. "
                "Page: monitoring/runbooks/PredictionTrafficMissing.md",
                "reqps",
                (
                    (
                        "sum by (method, endpoint, status_code) "
                        f"(rate(api_requests_total{{{SELECTOR}}}{RATE})) > 0"
                    ),
                    "{{method}} {{endpoint}} {{status_code}}",
                ),
            )
        )
        .with_panel(
            series(
                "Request Duration p95",
                "95th percentile of request duration, by route, from the request's last byte on. The "
                f"objective is {SLOW_SECONDS} s for {100 * (1 - LATENCY.allowed):g} % of predictions. "
                "Page: monitoring/runbooks/PredictionLatencyHigh.md",
                "s",
                (
                    (
                        "histogram_quantile(0.95, sum by (le, endpoint) "
                        f"(rate(api_request_duration_seconds_bucket{{{SELECTOR}}}{RATE}))) >= 0"
                    ),
                    "{{endpoint}}",
                ),
            )
        )
        .with_panel(
            series(
                "Predictions by Result",
                "Rows a second by predicted class.",
                "cps",
                (
                    f"sum by (prediction_result) (rate(predictions_total{{{VERSION}}}{RATE}))",
                    "{{prediction_result}}",
                ),
            )
        )
        .with_panel(
            distribution(
                "Prediction Confidence Distribution",
                "Probability of the predicted class: from 0.5, a coin toss, to 1.",
                f"sum by (le) (increase(prediction_confidence_score_bucket{{{VERSION}}}{RATE}))",
            )
        )
        .with_panel(
            series(
                "Prediction Latency",
                "Seconds that the model takes for a row or a batch, by version.",
                "s",
                *percentiles(f"prediction_duration_seconds_bucket{{{VERSION}}}", "model_version"),
            )
        )
        .with_panel(
            series(
                "Error Rate",
                "Failed requests a second by type and route. Page: monitoring/runbooks/ApiErrorBurst.md",
                "reqps",
                (
                    f"sum by (error_type, endpoint) (rate(api_errors_total{{{SELECTOR}}}{RATE})) > 0",
                    "{{error_type}} {{endpoint}}",
                ),
            )
        )
        .with_panel(
            series(
                "Active Requests",
                "Requests in flight, by pod. Page: monitoring/runbooks/ApiSaturated.md",
                "short",
                (f"sum by (pod) (active_requests{{{SELECTOR}}})", "{{pod}}"),
            )
        )
        .with_panel(
            series(
                "Queue Time",
                "Seconds that requests waited for the server before it began to answer, by pod. "
                "Page: monitoring/runbooks/ApiSaturated.md",
                "s",
                *percentiles(f"request_queue_seconds_bucket{{{SELECTOR}}}", "pod", (50, 90)),
            )
        )
        .with_panel(
            series(
                "Event Loop Lag",
                "Seconds by which the event loop is late, by pod: what arrives waits unread for as long. "
                "Page: monitoring/runbooks/ApiSaturated.md",
                "s",
                *percentiles(f"event_loop_lag_seconds_bucket{{{SELECTOR}}}", "pod", (99,)),
            )
        )
        .with_panel(
            series(
                "Share of Predictions against Expectation",
                "Share of each predicted class over an hour, and its share in the evaluation, by version. "
                "Page: monitoring/runbooks/PredictionMixShift.md",
                "percentunit",
                (
                    (
                        "sum by (model_version, prediction_result) "
                        f"(increase(predictions_total{{{VERSION}}}[1h])) "
                        "/ ignoring (prediction_result) group_left () "
                        f"(sum by (model_version) (increase(predictions_total{{{VERSION}}}[1h])) > 0)"
                    ),
                    "{{model_version}} {{prediction_result}}",
                ),
                (
                    f"max by (model_version, prediction_result) (prediction_expected_share{{{VERSION}}})",
                    "{{model_version}} {{prediction_result}} expected",
                ),
            ).max(1)
        )
    )
