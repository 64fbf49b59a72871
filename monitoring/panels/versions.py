"""Panels of two versions side by side: traffic, latency, errors, scores, shadow and quality."""

from dataclasses import dataclass

from monitoring.panels.expressions import (
    Aggregate,
    Enough,
    Increase,
    OrZero,
    Positive,
    Rate,
    Ratio,
    Selector,
)
from monitoring.panels.panel import GREEN, RED, Kind, Panel, Query, panel, percentiles
from monitoring.panels.quality import LEAST_OUTCOMES, LEVEL, outcomes_by_version
from monitoring.panels.scope import Scope

BY = ("model_version",)
VERSION = "{{model_version}}"
STATES = ((None, RED), (1.0, GREEN))


@dataclass(frozen=True)
class Versions:
    """They read what every model shows while it has a candidate."""

    scope: Scope

    def target_share(self) -> Panel:
        return panel(
            Kind.NUMBER,
            "Target Share",
            "Share of requests that a version should get.",
            "percentunit",
            Query(Aggregate("max", self._of("version_target_share"), BY), VERSION),
            document="docs/rollout.md",
            width=5,
        )

    def actual_share(self) -> Panel:
        got = Increase(self._of("version_requests_total"), self.scope.range)
        return panel(
            Kind.NUMBER,
            "Actual Share",
            "Share of requests that a version got in the chosen time range.",
            "percentunit",
            Query(Ratio(Aggregate("sum", got, BY), Aggregate("sum", got), across=BY), VERSION),
            width=5,
        )

    def canary(self) -> Panel:
        return panel(
            Kind.STATUS,
            "Canary",
            "Red while the canary's candidate is unavailable, and without one.",
            "none",
            Query(OrZero(Aggregate("min", self._of("candidate_loaded")))),
            steps=STATES,
            words={"0": "unavailable", "1": "loaded"},
            runbook="CandidateNotLoaded",
            width=4,
        )

    def shadow(self) -> Panel:
        return panel(
            Kind.STATUS,
            "Shadow",
            "Red while the shadow candidate does not answer, and without one.",
            "none",
            Query(OrZero(Aggregate("min", self._of("shadow_up")))),
            steps=STATES,
            words={"0": "unavailable", "1": "answers"},
            runbook="CandidateNotLoaded",
            width=4,
        )

    def disagreement(self) -> Panel:
        differing, compared = (
            Aggregate("sum", Increase(self._of("shadow_rows_total", matcher), self.scope.range))
            for matcher in ('outcome="disagreed"', 'outcome=~"agreed|disagreed"')
        )
        return panel(
            Kind.NUMBER,
            "Shadow Disagreement",
            "Share of mirrored rows in the chosen time range whose predicted class differs.",
            "percentunit",
            Query(Ratio(differing, Positive(compared))),
            runbook="CandidateDisagrees",
        )

    def requests(self) -> Panel:
        requests = Rate(self._of("version_requests_total"), self.scope.rate)
        return panel(
            Kind.LINES,
            "Requests",
            "Prediction requests a second of a version, by outcome; rejected ones were invalid.",
            "reqps",
            Query(Aggregate("sum", requests, (*BY, "outcome")), f"{VERSION} {{{{outcome}}}}"),
        )

    def errors(self) -> Panel:
        failed, requests = (
            Aggregate("sum", Rate(self._of("version_requests_total", *matchers), self.scope.rate), BY)
            for matchers in (('outcome="error"',), ())
        )
        return panel(
            Kind.LINES,
            "Errors",
            "Share of a version's requests that failed; if a candidate fails, the other version answers.",
            "percentunit",
            Query(Ratio(failed, requests), VERSION),
            runbook="CandidateFailing",
        )

    def latency(self) -> Panel:
        return panel(
            Kind.LINES,
            "Latency",
            "Seconds from the request body to the response.",
            "s",
            *percentiles(self._of("version_duration_seconds_bucket"), self.scope.rate, BY),
        )

    def shadow_latency(self) -> Panel:
        return panel(
            Kind.LINES,
            "Latency in the Shadow",
            "Seconds that the shadow candidate takes for a row, in a process of lowest priority.",
            "s",
            *percentiles(self._of("shadow_duration_seconds_bucket"), self.scope.rate, BY),
        )

    def scores(self) -> Panel:
        scored = Increase(self._of("feature_values_total", 'feature="score"'), self.scope.range)
        return panel(
            Kind.LINES,
            "Scores",
            "Share of a version's rows in each of the five bins of the score.",
            "percentunit",
            Query(
                Ratio(Aggregate("sum", scored, (*BY, "bin")), Aggregate("sum", scored, BY), across=("bin",)),
                f"{VERSION} {{{{bin}}}}",
            ),
        )

    def score_difference(self) -> Panel:
        return panel(
            Kind.LINES,
            "Score Difference in the Shadow",
            "Largest difference in any class's probability between candidate and served version.",
            "percentunit",
            *percentiles(self._of("shadow_difference_bucket"), self.scope.rate, BY),
        )

    def shadow_rows(self) -> Panel:
        shown = Rate(self._of("shadow_rows_total"), self.scope.rate)
        return panel(
            Kind.LINES,
            "Shadow Rows",
            "Mirrored rows a second: agreed, disagreed, failed, or dropped for lack of time.",
            "short",
            Query(Aggregate("sum", shown, ("outcome",)), "{{outcome}}"),
        )

    def quality(self) -> Panel:
        rows = outcomes_by_version(self._of("model_outcomes"))
        return panel(
            Kind.LINES,
            "Quality",
            "Metrics from reported outcomes, with their 95 % confidence intervals, from "
            f"{LEAST_OUTCOMES} outcomes on.",
            "none",
            *(
                Query(
                    Enough(
                        Aggregate("max", self._of(name, *matchers), (*BY, "metric")), rows, LEAST_OUTCOMES
                    ),
                    f"{{{{metric}}}} {VERSION} {what}",
                )
                for name, matchers, what in (
                    ("model_quality", (), ""),
                    ("model_quality_lower", (LEVEL,), "lower bound"),
                    ("model_quality_upper", (LEVEL,), "upper bound"),
                )
            ),
        )

    def _of(self, name: str, *matchers: str) -> Selector:
        return Selector(name, self.scope.common("model") + matchers)
