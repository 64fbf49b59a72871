"""Panels of requests: how many, how fast, which failed, and what waits."""

from dataclasses import dataclass

from monitoring.panels.expressions import (
    Aggregate,
    Increase,
    Percentile,
    Positive,
    Rate,
    Ratio,
    Selector,
    WhileUp,
)
from monitoring.panels.names import Names
from monitoring.panels.objectives import LATENCY, PREDICTION_PATHS, SLOW_SECONDS
from monitoring.panels.panel import GREEN, RED, YELLOW, Kind, Panel, Query, panel, percentiles
from monitoring.panels.scope import Scope


@dataclass(frozen=True)
class Traffic:
    """BundleError where the vocabulary has no name for what a panel shows."""

    names: Names
    scope: Scope

    def errors(self) -> Panel:
        errors = self.names.select("errors", *self.scope.selector)
        return panel(
            Kind.NUMBER,
            "Total Errors",
            "Requests that failed in the chosen time range, by the client's or the server's fault.",
            "short",
            Query(Aggregate("sum", Increase(errors, self.scope.range))),
        )

    def success_rate(self) -> Panel:
        status = self.names.label("requests", "status")
        answered = self._predictions("requests", f'{status}=~"2.."')
        requests = self._predictions("requests")
        share = Ratio(
            Aggregate("sum", Increase(answered, self.scope.range)),
            Positive(Aggregate("sum", Increase(requests, self.scope.range))),
        )
        return panel(
            Kind.SHARE,
            "Success Rate",
            "Share of prediction requests in the chosen time range that got a 2xx response. No data "
            "while no pod answers.",
            "percentunit",
            Query(WhileUp(share, self.scope.targets + self.scope.selector)),
            steps=((None, RED), (0.9, YELLOW), (0.995, GREEN)),
        )

    def requests(self) -> Panel:
        labels = tuple(self.names.label("requests", name) for name in ("method", "endpoint", "status"))
        requests = self.names.select("requests", *self.scope.selector)
        return panel(
            Kind.LINES,
            "Total API Requests",
            "Requests a second by method, route and status.",
            "reqps",
            Query(
                Positive(Aggregate("sum", Rate(requests, self.scope.rate), labels)),
                self.names.legend("requests", "method", "endpoint", "status"),
            ),
            runbook="PredictionTrafficMissing",
        )

    def durations(self) -> Panel:
        endpoint = self.names.labels("request_duration", "endpoint")
        buckets = self.names.select("request_duration", *self.scope.selector, suffix="_bucket")
        rates = Aggregate("sum", Rate(buckets, self.scope.rate), ("le", *endpoint))
        return panel(
            Kind.LINES,
            "Request Duration p95",
            "95th percentile of request duration, by route, from the request's last byte on. The "
            f"objective is {SLOW_SECONDS} s for {100 * (1 - LATENCY.allowed):g} % of predictions.",
            "s",
            Query(Percentile(95, rates), self.names.legend("request_duration", "endpoint")),
            runbook="PredictionLatencyHigh",
        )

    def percentiles(self) -> Panel:
        return panel(
            Kind.LINES,
            "Request Duration of Predictions",
            "50th, 95th and 99th percentile of the duration of prediction requests, from the request's last "
            "byte on.",
            "s",
            *percentiles(self._predictions("request_duration", suffix="_bucket"), self.scope.rate),
            runbook="PredictionLatencyHigh",
        )

    def error_rate(self) -> Panel:
        shown = tuple(self.names.labels("errors", "error_type", "endpoint"))
        errors = self.names.select("errors", *self.scope.selector)
        return panel(
            Kind.LINES,
            "Error Rate",
            "Failed requests a second by type and route.",
            "reqps",
            Query(
                Positive(Aggregate("sum", Rate(errors, self.scope.rate), shown)),
                self.names.legend("errors", "error_type", "endpoint"),
            ),
            runbook="ApiErrorBurst",
        )

    def by_pod(self) -> Panel:
        status = self.names.label("requests", "status")
        requests = self.names.select("requests", *self.scope.selector)
        return panel(
            Kind.LINES,
            "Requests by Pod",
            "Requests a second by pod and status: which pod fails, and whether each gets its part.",
            "reqps",
            Query(
                Positive(Aggregate("sum", Rate(requests, self.scope.rate), ("pod", status))),
                f"{{{{pod}}}} {self.names.legend('requests', 'status')}",
            ),
        )

    def active(self) -> Panel:
        active = self.names.select("active_requests", *self.scope.selector)
        return panel(
            Kind.LINES,
            "Active Requests",
            "Requests in flight, by pod.",
            "short",
            Query(Aggregate("sum", active, ("pod",)), "{{pod}}"),
            runbook="ApiSaturated",
        )

    def queue(self) -> Panel:
        return panel(
            Kind.LINES,
            "Queue Time",
            "Seconds that requests waited for the server before it began to answer, by pod.",
            "s",
            *self._by_pod("queue", 50, 90),
            runbook="ApiSaturated",
        )

    def loop_lag(self) -> Panel:
        return panel(
            Kind.LINES,
            "Event Loop Lag",
            "Seconds by which the event loop is late, by pod: what arrives waits unread for as long.",
            "s",
            *self._by_pod("loop_lag", 99),
            runbook="ApiSaturated",
        )

    def shed(self) -> Panel:
        status, endpoint = (self.names.label("requests", name) for name in ("status", "endpoint"))
        every, shed = self._predictions("requests"), self._predictions("requests", f'{status}="429"')
        return panel(
            Kind.LINES,
            "Requests Shed",
            "Prediction requests a second that were answered with 429, for there was no time or no room for "
            "them, beside all, by route.",
            "reqps",
            Query(Aggregate("sum", Rate(shed, self.scope.rate), (endpoint,)), f"429 {{{{{endpoint}}}}}"),
            Query(Aggregate("sum", Rate(every, self.scope.rate), (endpoint,)), f"all {{{{{endpoint}}}}}"),
            runbook="ApiSaturated",
        )

    def connections(self) -> Panel:
        opened, limit = (
            self.names.select(concept, *self.scope.selector)
            for concept in ("open_connections", "connections_limit")
        )
        return panel(
            Kind.LINES,
            "Connections",
            "Open connections, by pod, and how many one pod may have: there a new one replaces another.",
            "short",
            Query(Aggregate("sum", opened, ("pod",)), "{{pod}} open"),
            Query(Aggregate("min", limit), "limit"),
            runbook="ApiConnectionsExhausted",
        )

    def closed_connections(self) -> Panel:
        reason = self.names.label("closed_connections", "reason")
        closed = self.names.select("closed_connections", *self.scope.selector)
        return panel(
            Kind.LINES,
            "Connections Closed Early",
            "Connections a second that the server closed before their clients did, by reason. Those replaced "
            "and for memory made room for others; other reasons are the client's.",
            "cps",
            Query(Aggregate("sum", Rate(closed, self.scope.rate), (reason,)), f"{{{{{reason}}}}}"),
            runbook="ApiConnectionsExhausted",
        )

    def _by_pod(self, concept: str, *percents: int) -> list[Query]:
        buckets = self.names.select(concept, *self.scope.selector, suffix="_bucket")
        return percentiles(buckets, self.scope.rate, ("pod",), percents)

    def _predictions(self, concept: str, *matchers: str, suffix: str = "") -> Selector:
        routes = f"{self.names.label(concept, 'endpoint')}=~{PREDICTION_PATHS}"
        return self.names.select(concept, routes, *self.scope.selector, *matchers, suffix=suffix)
