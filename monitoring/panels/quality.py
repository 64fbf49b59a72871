"""Panels of a model's quality by reported outcomes, beside that of its card."""

from dataclasses import dataclass

from monitoring.panels.expressions import Aggregate, ByBin, Enough, Expression, OrZero, Rate, Selector
from monitoring.panels.panel import GREEN, RED, Kind, Panel, Query, panel
from monitoring.panels.scope import Scope

METRICS = {
    "accuracy": ("Accuracy", "Share of predictions whose class was right."),
    "brier": ("Brier Score", "Mean squared error of the predicted probability: lower is better."),
    "sensitivity": (
        "Sensitivity",
        "Share of positive outcomes that were predicted positive (1 - false negative rate).",
    ),
    "specificity": (
        "Specificity",
        "Share of negative outcomes that were predicted negative (1 - false positive rate).",
    ),
}
LEVEL = 'confidence_level="0.95"'
LEAST_OUTCOMES = 50
"""Alerts and panels say nothing about fewer; serving/feedback/quality.py has the same number."""


BY_CLASS = ("model_version", "predicted")
BY_CELL = ("model", "model_version", "predicted", "outcome")


def outcomes_by_version(outcomes: Selector) -> Aggregate:
    """Return the number of outcomes of each version; every pod shows the same."""
    return Aggregate("sum", Aggregate("max", outcomes, BY_CELL), ("model_version",))


@dataclass(frozen=True)
class Quality:
    """They read what every model shows where feedback is on."""

    scope: Scope

    def store(self) -> Panel:
        return panel(
            Kind.STATUS,
            "Database of Outcomes",
            "Red while a pod cannot read the database.",
            "none",
            Query(OrZero(Aggregate("min", Selector("feedback_store_up", self.scope.releases)))),
            steps=((None, RED), (1, GREEN)),
            words={"0": "unavailable", "1": "available"},
            runbook="FeedbackNotStored",
        )

    def outcomes(self) -> Panel:
        return panel(
            Kind.NUMBER,
            "Outcomes",
            "Reported outcomes of the predictions in the window, 30 days by default, that the served bundle "
            "made with the served threshold.",
            "short",
            Query(Aggregate("sum", self._outcomes())),
        )

    def confusion(self) -> Panel:
        return panel(
            Kind.NUMBER,
            "Predicted / True",
            "The confusion matrix of each version: predictions by predicted and true class.",
            "short",
            Query(
                Aggregate("sum", self._outcomes(), ("model_version", "predicted", "outcome")),
                "{{model_version}}: {{predicted}} / {{outcome}}",
            ),
            width=12,
        )

    def shares(self) -> Panel:
        predictions = Aggregate("max", self._of("model_window_predictions"), BY_CLASS)
        enough = Aggregate("sum", predictions, ("model_version",))
        return panel(
            Kind.LINES,
            "Predictions with an Outcome",
            "Share of the predictions in the window that have an outcome, by predicted class, with its "
            "99.9 % confidence interval. Where intervals do not overlap the outcomes are no fair sample, and "
            "alerts on quality are silent.",
            "percentunit",
            *(
                Query(
                    Enough(Aggregate("max", self._of(name), BY_CLASS), enough, LEAST_OUTCOMES),
                    f"{legend} {{{{predicted}}}} {{{{model_version}}}}".strip(),
                )
                for name, legend in (
                    ("model_outcome_share", ""),
                    ("model_outcome_share_lower", "lower bound"),
                    ("model_outcome_share_upper", "upper bound"),
                )
            ),
            runbook="ModelOutcomesSelective",
            most=1,
        )

    def metric(self, metric: str) -> Panel:
        """Return the panel of a metric of METRICS."""
        title, description = METRICS[metric]
        return panel(
            Kind.LINES,
            title,
            f"{description} With its 95 % confidence interval, from {LEAST_OUTCOMES} outcomes on; the card's "
            "with its 99.9 %, and what it was before the window with its 99 % interval.",
            "none",
            *(
                Query(self._shown(name, *matchers), f"{legend} {{{{model_version}}}}")
                for name, matchers, legend in (
                    ("model_quality", (f'metric="{metric}"',), "outcomes"),
                    ("model_quality_lower", (f'metric="{metric}"', LEVEL), "lower bound"),
                    ("model_quality_upper", (f'metric="{metric}"', LEVEL), "upper bound"),
                    ("model_quality_expected", (f'metric="{metric}"',), "card"),
                    ("model_quality_expected_lower", (f'metric="{metric}"',), "card, lower bound"),
                    ("model_quality_expected_upper", (f'metric="{metric}"',), "card, upper bound"),
                    ("model_quality_earlier_lower", (f'metric="{metric}"',), "before, lower bound"),
                    ("model_quality_earlier_upper", (f'metric="{metric}"',), "before, upper bound"),
                )
            ),
            runbook="ModelQualityBelowCard",
            warning="ModelQualityDeclined",
        )

    def calibration(self) -> Panel:
        return panel(
            Kind.BARS,
            "Calibration",
            "By version and score bin: the mean score, and the observed frequency with its 95 % confidence "
            "interval. The score is the probability of the positive class or, with more than two, the "
            "predicted one.",
            "percentunit",
            *(
                Query(
                    ByBin(Enough(self._of(f"model_calibration_{name}"), self._rows(), LEAST_OUTCOMES)), legend
                )
                for name, legend in (
                    ("score", "mean score"),
                    ("observed", "observed"),
                    ("lower", "lower bound"),
                    ("upper", "upper bound"),
                )
            ),
        )

    def feedback(self) -> Panel:
        reported = Selector("feedback_total", self.scope.common("model"))
        return panel(
            Kind.LINES,
            "Feedback",
            "Reported outcomes a second, by verdict.",
            "short",
            Query(Aggregate("sum", Rate(reported, self.scope.rate), ("verdict",)), "{{verdict}}"),
        )

    def _shown(self, name: str, *matchers: str) -> Expression:
        """Return the values of a metric: from outcomes where they are enough, and always the card's."""
        values = Aggregate("max", self._of(name, *matchers), ("model_version",))
        if name.startswith("model_quality_expected"):
            return values
        return Enough(values, self._rows(), LEAST_OUTCOMES)

    def _rows(self) -> Aggregate:
        return outcomes_by_version(self._of("model_outcomes"))

    def _outcomes(self) -> Aggregate:
        return Aggregate("max", self._of("model_outcomes"), BY_CELL)

    def _of(self, name: str, *matchers: str) -> Selector:
        return Selector(name, self.scope.common("model", "version") + matchers)
