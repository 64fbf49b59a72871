"""Panels of drift: how far rows and answers are from the training data."""

from dataclasses import dataclass

from monitoring.panels.expressions import Aggregate, AtLeast, ByBin, Expression, OrZeroWhile, Selector
from monitoring.panels.panel import GREEN, RED, YELLOW, Kind, Panel, Query, panel
from monitoring.panels.scope import Scope, Window

BY_FEATURE = ("feature", "model_version")
LEGEND = "{{feature}} {{model_version}}"
SCORE = 'feature="score"'
MISSING = 'bin="(missing)"'
REFERENCE_ROWS = "feature_reference_rows"
TOO_FEW = "Not enough rows yet: 300 are needed."
"""What panels say whose shares would be chance."""

OR_NONE_MISSING = f" or on () 0 * count({REFERENCE_ROWS})"
"""What a query of missing values shows of a model without any, while an instance answers."""


@dataclass(frozen=True)
class Health:
    """They read what every model shows, and what rules record from it."""

    scope: Scope

    def drift(self) -> Panel:
        return panel(
            Kind.LINES,
            "Drift by Feature",
            f"Population stability index over {self.scope.hour.words}: a warning from 0.1, critical from "
            "0.25, if chance does not explain it. 'score' is the model's output.",
            "none",
            Query(Aggregate("max", self._of("job:feature:psi1h"), BY_FEATURE), LEGEND),
            steps=((None, GREEN), (0.1, YELLOW), (0.25, RED)),
            runbook="FeatureDrift",
            explained_by=Aggregate("max", self._of("job:feature:psi_chance1h"), BY_FEATURE),
            empty=TOO_FEW,
        )

    def drift_of_feature(self) -> Panel:
        day = Window("24h", "a day")
        return panel(
            Kind.LINES,
            "Drift of the Chosen Feature",
            f"Its index over {self.scope.hour.words} and over a day by version, and the thresholds of a "
            "warning, which fall as rows come: there is none under 300 rows.",
            "none",
            *(
                query
                for name, window in (("1h", self.scope.hour), ("24h", day))
                for query in self._index(name, window.words)
            ),
            runbook="FeatureDrift",
            empty=TOO_FEW,
        )

    def values(self) -> Panel:
        return panel(
            Kind.BARS,
            "Values against Training",
            f"Share of a version's rows in each bin of the chosen feature, over {self.scope.hour.words} and "
            "in the training data. Under 300 rows there are no live shares.",
            "percentunit",
            Query(ByBin(self._of_feature("job:feature_values:share1h")), "live"),
            Query(ByBin(self._of_feature("job:feature_reference:share")), "training"),
        )

    def score(self) -> Panel:
        return panel(
            Kind.BARS,
            "Score against Training",
            f"Share of a version's rows by score, over {self.scope.hour.words} and on held-out rows in "
            "training. The score is the probability of the positive class or, with more than two classes, of "
            "the predicted one. Under 300 rows there are no live shares.",
            "percentunit",
            Query(ByBin(self._of("job:feature_values:share1h", SCORE)), "live"),
            Query(ByBin(self._of("job:feature_reference:share", SCORE)), "training"),
        )

    def out_of_range(self) -> Panel:
        return panel(
            Kind.LINES,
            "Values out of Range",
            "Share of accepted values outside the range of the training data; each is a warning "
            "in the response.",
            "percentunit",
            Query(Aggregate("max", self._of("job:feature_out_of_range:share1h"), BY_FEATURE), LEGEND),
            runbook="FeatureOutOfRange",
            empty=TOO_FEW,
        )

    def rejected(self) -> Panel:
        return panel(
            Kind.LINES,
            "Rejected Values",
            "Share of values that the model rejects, by feature.",
            "percentunit",
            Query(Aggregate("max", self._of("job:feature_rejected:share1h"), BY_FEATURE), LEGEND),
            runbook="FeatureRejected",
            empty=TOO_FEW,
        )

    def rows(self) -> Panel:
        return panel(
            Kind.LINES,
            "Rows by Version",
            f"Rows predicted over {self.scope.hour.words}, by model version. Under 300 rows there is no "
            "alert.",
            "short",
            Query(
                Aggregate("sum", self._of("job:feature_rows:increase1h", SCORE), ("model", "model_version")),
                "{{model}} {{model_version}}",
            ),
        )

    def missing(self) -> Panel:
        return panel(
            Kind.LINES,
            "Missing Values",
            f"Share of rows without a value, over {self.scope.hour.words} and in the training data; 0 for a "
            "model that accepts no missing values. Under 300 rows there are no live shares.",
            "percentunit",
            Query(Aggregate("max", self._of("job:feature_values:share1h", MISSING), BY_FEATURE), LEGEND),
            Query(self._missing("job:feature_reference:share"), f"{LEGEND} in training"),
            runbook="FeatureMissing",
        )

    def _index(self, window: str, words: str) -> list[Query]:
        by = ("model_version",)
        index = Aggregate("max", self._of_feature(f"job:feature:psi{window}"), by)
        chance = Aggregate("max", self._of_feature(f"job:feature:psi_chance{window}"), by)
        return [
            Query(index, f"{{{{model_version}}}} {words}"),
            Query(AtLeast(chance, 0.1), f"{{{{model_version}}}} warning, {words}"),
        ]

    def _missing(self, share: str) -> Expression:
        """Return the share of missing values: 0 where no feature may be missing."""
        return OrZeroWhile(Aggregate("max", self._of(share, MISSING), BY_FEATURE), REFERENCE_ROWS)

    def _of(self, name: str, *matchers: str) -> Selector:
        return Selector(name, self.scope.common("model", "version") + matchers)

    def _of_feature(self, name: str) -> Selector:
        return Selector(name, self.scope.common("model", "version", "feature"))
