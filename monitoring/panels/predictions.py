"""Panels of a model: whether it is there, what it predicts, how sure it is, and how long it takes."""

from dataclasses import dataclass

from monitoring.panels.expressions import Aggregate, Increase, OrZero, Positive, Rate, Ratio, Selector
from monitoring.panels.names import Names
from monitoring.panels.panel import GREEN, RED, Kind, Panel, Query, panel, percentiles
from monitoring.panels.scope import Scope


@dataclass(frozen=True)
class Predictions:
    """BundleError where the vocabulary has no name for what a panel shows."""

    names: Names
    scope: Scope

    def status(self) -> Panel:
        return panel(
            Kind.STATUS,
            "Model Status",
            "Red if the model of any pod is unavailable, and if no pod reports.",
            "none",
            Query(OrZero(Aggregate("min", self._chosen("model_loaded")))),
            steps=((None, RED), (1, GREEN)),
            words={"0": "unavailable", "1": "loaded"},
            runbook="ModelNotLoaded",
        )

    def total(self) -> Panel:
        return panel(
            Kind.NUMBER,
            "Total Predictions",
            "Rows predicted in the chosen time range.",
            "short",
            Query(Aggregate("sum", Increase(self._chosen("predictions"), self.scope.range))),
        )

    def by_result(self) -> Panel:
        result = self.names.label("predictions", "result")
        return panel(
            Kind.LINES,
            "Predictions by Result",
            "Rows a second by predicted class.",
            "cps",
            Query(
                Aggregate("sum", Rate(self._chosen("predictions"), self.scope.rate), (result,)),
                self.names.legend("predictions", "result"),
            ),
        )

    def confidence(self) -> Panel:
        buckets = self._chosen("confidence", suffix="_bucket")
        return panel(
            Kind.HEATMAP,
            "Prediction Confidence Distribution",
            "Probability of the predicted class: from chance (0.5 of two classes) to 1.",
            "none",
            Query(Aggregate("sum", Increase(buckets, self.scope.rate), ("le",)), "{{le}}"),
        )

    def latency(self) -> Panel:
        buckets = self._chosen("prediction_duration", suffix="_bucket")
        versions = self.names.labels("prediction_duration", "version")
        return panel(
            Kind.LINES,
            "Prediction Latency",
            "Seconds that the model takes for a row or a batch, by version.",
            "s",
            *percentiles(buckets, self.scope.rate, versions),
        )

    def expectation(self) -> Panel:
        result = self.names.label("predictions", "result")
        versions = self.names.labels("predictions", "version")
        predicted = Increase(self._chosen("predictions"), self.scope.hour.promql)
        expected = self._chosen("expected_share")
        legend = self.names.legend("predictions", "version", "result")
        return panel(
            Kind.LINES,
            "Share of Predictions against Expectation",
            f"Share of each predicted class over {self.scope.hour.words}, and its share in the evaluation, "
            "by version.",
            "percentunit",
            Query(
                Ratio(
                    Aggregate("sum", predicted, (*versions, result)),
                    Positive(Aggregate("sum", predicted, tuple(versions))),
                    across=(result,),
                ),
                legend,
            ),
            Query(Aggregate("max", expected, (*versions, result)), f"{legend} expected"),
            runbook="PredictionMixShift",
            most=1,
        )

    def _chosen(self, concept: str, suffix: str = "") -> Selector:
        return self.names.select(concept, *self.scope.chosen(self.names, concept), suffix=suffix)
