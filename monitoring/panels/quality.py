"""Panels of a model's quality by reported outcomes, beside that of its card."""

from dataclasses import dataclass

from monitoring.panels.expressions import Aggregate, ByBin, OrZero, Rate, Selector
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
            "Reported outcomes of predictions in the window, 30 days by default.",
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

    def metric(self, metric: str) -> Panel:
        """Return the panel of a metric of METRICS."""
        title, description = METRICS[metric]
        return panel(
            Kind.LINES,
            title,
            f"{description} With its 95 % confidence interval, and the value on the card.",
            "none",
            *(
                Query(
                    Aggregate("max", self._of(name, *matchers), ("model_version",)),
                    f"{legend} {{{{model_version}}}}",
                )
                for name, matchers, legend in (
                    ("model_quality", (f'metric="{metric}"',), "outcomes"),
                    ("model_quality_lower", (f'metric="{metric}"', LEVEL), "lower bound"),
                    ("model_quality_upper", (f'metric="{metric}"', LEVEL), "upper bound"),
                    ("model_quality_expected", (f'metric="{metric}"',), "card"),
                )
            ),
            runbook="ModelQualityBelowCard",
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
                Query(ByBin(self._of(f"model_calibration_{name}")), legend)
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

    def _outcomes(self) -> Aggregate:
        by = ("model", "model_version", "predicted", "outcome")
        return Aggregate("max", self._of("model_outcomes"), by)

    def _of(self, name: str, *matchers: str) -> Selector:
        return Selector(name, self.scope.common("model", "version") + matchers)
