"""The dashboard of the model's health: how far rows and answers are from the training data."""

from grafana_foundation_sdk.builders import dashboard as dashboards

from monitoring.dashboards.panels import (
    FEATURE,
    MODEL,
    NAMESPACE,
    RELEASE,
    RELEASES,
    VERSION,
    bars,
    new_dashboard,
    series,
    single,
)

REFERENCE = "feature_reference_share"
CHOSEN = f'{RELEASES}, model=~"$model", model_version=~"$model_version"'
OF_FEATURE = f'{CHOSEN}, feature=~"$feature"'
OF_VERSION = "max by (model_version)"
LEGEND = "{{feature}} {{model_version}}"
OR_NONE_MISSING = " or on () 0 * count(feature_reference_rows)"
"""What a query of missing values shows of a model without any, while an instance answers."""


def dashboard() -> dashboards.Dashboard:
    """Return the dashboard; its queries read what every model shows."""
    page = "monitoring/runbooks/FeatureDrift.md"
    return (
        new_dashboard(
            "Model health",
            "model-health",
            "Whether requests and predictions are still distributed like the training data.",
            variables=(NAMESPACE, RELEASE, MODEL, VERSION),
            labels_of=REFERENCE,
            refresh="30s",
        )
        .with_variable(single(*FEATURE, REFERENCE))
        .with_panel(
            series(
                "Drift by Feature",
                "Population stability index over an hour: a warning from 0.1, critical from 0.25, if chance "
                f"does not explain it. `score` is the model's output. Page: {page}",
                "none",
                (f"max by (feature, model_version) (job:feature:psi1h{{{CHOSEN}}})", LEGEND),
            )
        )
        .with_panel(
            series(
                "Drift of the Chosen Feature",
                "Its index over an hour and over a day by version, and the thresholds of a warning: there is "
                f"none under 300 rows. Page: {page}",
                "none",
                *(
                    query
                    for window, name in (("1h", "an hour"), ("24h", "a day"))
                    for query in (
                        (
                            f"{OF_VERSION} (job:feature:psi{window}{{{OF_FEATURE}}})",
                            f"{{{{model_version}}}} {name}",
                        ),
                        (
                            f"clamp_min({OF_VERSION} (job:feature:psi_chance{window}{{{OF_FEATURE}}}), 0.1)",
                            f"{{{{model_version}}}} warning, {name}",
                        ),
                    )
                ),
            )
        )
        .with_panel(
            bars(
                "Values against Training",
                "Share of a version's rows in each bin of the chosen feature, over an hour and in the "
                "training data.",
                (f"job:feature_values:share1h{{{OF_FEATURE}}}", "live"),
                (f"job:feature_reference:share{{{OF_FEATURE}}}", "training"),
            )
        )
        .with_panel(
            bars(
                "Score against Training",
                "Share of a version's rows by score, over an hour and on held-out rows in training. The "
                "score is the probability of the positive class or, with more than two classes, of the "
                "predicted one.",
                (f'job:feature_values:share1h{{{CHOSEN}, feature="score"}}', "live"),
                (f'job:feature_reference:share{{{CHOSEN}, feature="score"}}', "training"),
            )
        )
        .with_panel(
            series(
                "Values out of Range",
                "Share of accepted values outside the range of the training data; each is a warning "
                "in the response. Page: monitoring/runbooks/FeatureOutOfRange.md",
                "percentunit",
                (f"max by (feature, model_version) (job:feature_out_of_range:share1h{{{CHOSEN}}})", LEGEND),
            )
        )
        .with_panel(
            series(
                "Rejected Values",
                "Share of values that the model rejects, by feature. "
                "Page: monitoring/runbooks/FeatureRejected.md",
                "percentunit",
                (f"max by (feature, model_version) (job:feature_rejected:share1h{{{CHOSEN}}})", LEGEND),
            )
        )
        .with_panel(
            series(
                "Rows by Version",
                "Rows predicted over an hour, by model version. Under 300 rows there is no alert.",
                "short",
                (
                    (
                        "sum by (model, model_version) "
                        f'(job:feature_rows:increase1h{{{CHOSEN}, feature="score"}})'
                    ),
                    "{{model}} {{model_version}}",
                ),
            )
        )
        .with_panel(
            series(
                "Missing Values",
                "Share of rows without a value, over an hour and in the training data; 0 for a model that "
                "accepts no missing values. Page: monitoring/runbooks/FeatureMissing.md",
                "percentunit",
                (missing("job:feature_values:share1h"), LEGEND),
                (missing("job:feature_reference:share"), f"{LEGEND} in training"),
            )
        )
    )


def missing(share: str) -> str:
    """Return the query of the share of missing values: 0 where no feature may be missing."""
    return f'max by (feature, model_version) ({share}{{{CHOSEN}, bin="(missing)"}}){OR_NONE_MISSING}'
