"""The dashboard of an API: requests, responses, predictions and the state of the model, in one vocabulary."""

from grafana_foundation_sdk.builders import dashboard as dashboards

from monitoring.alerting.names import Names
from monitoring.alerting.objectives import APP, LATENCY, SLOW_SECONDS
from monitoring.dashboards.panels import (
    GREEN,
    MODEL,
    NAMESPACE,
    POD,
    PREDICTIONS,
    RED,
    RELEASE,
    SELECTOR,
    VERSION,
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


def dashboard(names: Names, title: str, uid: str) -> dashboards.Dashboard:
    """Return the dashboard; one model is chosen at a time where the vocabulary shows the model."""
    of_model = names.labels("predictions", "model", "version")
    chosen = ", ".join([SELECTOR, *(f'{label}=~"${label}"' for label in of_model)])
    version, result = (names.label("predictions", dimension) for dimension in ("version", "result"))
    method, endpoint, code = (names.label("requests", name) for name in ("method", "endpoint", "status"))
    error_type = names.label("errors", "error_type")
    predictions = names.series("predictions", chosen)
    requests = f"sum(increase({names.series('requests', PREDICTIONS)}[$__range]))"
    answered = names.series("requests", PREDICTIONS, '{status}=~"2.."')
    successes = f"sum(increase({answered}[$__range]))"
    return (
        new_dashboard(
            title,
            uid,
            "Requests, predictions and the state of the model.",
            variables=(NAMESPACE, RELEASE, POD, *([MODEL] if len(of_model) > 1 else []), VERSION),
            labels_of=names.series("predictions"),
        )
        .with_panel(
            status(
                "Model Status",
                "Red if the model of any pod is unavailable, and if no pod reports. "
                "Page: monitoring/runbooks/ModelNotLoaded.md",
                f"min({names.series('model_loaded', chosen)}) or vector(0)",
                {"0": "unavailable", "1": "loaded"},
            )
        )
        .with_panel(
            number(
                "Total Predictions",
                "Rows predicted in the chosen time range.",
                "short",
                f"sum(increase({predictions}[$__range]))",
            )
        )
        .with_panel(
            number(
                "Total Errors",
                "Requests that failed in the chosen time range, by the client's or the server's fault.",
                "short",
                f"sum(increase({names.series('errors', SELECTOR)}[$__range]))",
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
                        f"sum by ({method}, {endpoint}, {code}) "
                        f"(rate({names.series('requests', SELECTOR)}{RATE})) > 0"
                    ),
                    names.legend("requests", "method", "endpoint", "status"),
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
                        f"histogram_quantile(0.95, sum by (le, {endpoint}) "
                        f"(rate({names.series('request_duration', SELECTOR, suffix='_bucket')}{RATE}))) >= 0"
                    ),
                    names.legend("request_duration", "endpoint"),
                ),
            )
        )
        .with_panel(
            series(
                "Predictions by Result",
                "Rows a second by predicted class.",
                "cps",
                (
                    f"sum by ({result}) (rate({predictions}{RATE}))",
                    names.legend("predictions", "result"),
                ),
            )
        )
        .with_panel(
            distribution(
                "Prediction Confidence Distribution",
                "Probability of the predicted class: from chance (0.5 of two classes) to 1.",
                f"sum by (le) (increase({names.series('confidence', chosen, suffix='_bucket')}{RATE}))",
            )
        )
        .with_panel(
            series(
                "Prediction Latency",
                "Seconds that the model takes for a row or a batch, by version.",
                "s",
                *percentiles(names.series("prediction_duration", chosen, suffix="_bucket"), version),
            )
        )
        .with_panel(
            series(
                "Error Rate",
                "Failed requests a second by type and route. Page: monitoring/runbooks/ApiErrorBurst.md",
                "reqps",
                (
                    f"sum by ({error_type}, {endpoint}) (rate({names.series('errors', SELECTOR)}{RATE})) > 0",
                    names.legend("errors", "error_type", "endpoint"),
                ),
            )
        )
        .with_panel(
            series(
                "Active Requests",
                "Requests in flight, by pod. Page: monitoring/runbooks/ApiSaturated.md",
                "short",
                (f"sum by (pod) ({names.series('active_requests', SELECTOR)})", "{{pod}}"),
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
                        f"sum by ({version}, {result}) (increase({predictions}[1h])) "
                        f"/ ignoring ({result}) group_left () "
                        f"(sum by ({version}) (increase({predictions}[1h])) > 0)"
                    ),
                    names.legend("predictions", "version", "result"),
                ),
                (
                    f"max by ({version}, {result}) ({names.series('expected_share', chosen)})",
                    f"{names.legend('predictions', 'version', 'result')} expected",
                ),
            ).max(1)
        )
    )
