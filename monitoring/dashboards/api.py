"""The dashboard of the API: requests, responses, predictions and the state of the model."""

from grafana_foundation_sdk.builders import dashboard as dashboards

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
)

RATE = "[$__rate_interval]"
VERSION = f'{SELECTOR}, model_version=~"$model_version"'


def dashboard() -> dashboards.Dashboard:
    requests = f"sum(increase(api_requests_total{{{PREDICTIONS}}}[$__range]))"
    successes = f'sum(increase(api_requests_total{{{PREDICTIONS}, status_code=~"2.."}}[$__range]))'
    return (
        new_dashboard(
            "Heart disease API", "heart-disease-api", "Requests, predictions and the state of the model."
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
                f"sum(increase(predictions_total{{{VERSION}}}[$__range])) or vector(0)",
            )
        )
        .with_panel(
            number(
                "Total Errors",
                "Requests that failed in the chosen time range, by the client's or the server's fault.",
                "short",
                f"sum(increase(api_errors_total{{{SELECTOR}}}[$__range])) or vector(0)",
            )
        )
        .with_panel(
            share(
                "Success Rate",
                "Share of prediction requests in the chosen time range that got a 2xx response.",
                f"{successes} / ({requests} > 0)",
                (None, RED),
                (0.9, YELLOW),
                (0.995, GREEN),
            )
        )
        .with_panel(
            series(
                "Total API Requests",
                "Requests a second by method, route and status.",
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
                "95th percentile of request duration, by route. The objective is 0.25 s for 99 %.",
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
                "Seconds that the model takes for a row or a batch.",
                "s",
                *percentiles(f"prediction_duration_seconds_bucket{{{VERSION}}}"),
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
                "Share of Predictions against Expectation",
                "Share of each predicted class over an hour, and its share in the model's evaluation. "
                "Page: monitoring/runbooks/PredictionMixShift.md",
                "percentunit",
                (
                    (
                        f"sum by (prediction_result) (increase(predictions_total{{{VERSION}}}[1h])) "
                        f"/ ignoring (prediction_result) group_left () "
                        f"(sum(increase(predictions_total{{{VERSION}}}[1h])) > 0)"
                    ),
                    "{{prediction_result}}",
                ),
                (
                    f"max by (prediction_result) (prediction_expected_share{{{VERSION}}})",
                    "{{prediction_result}} expected",
                ),
            ).max(1)
        )
    )
