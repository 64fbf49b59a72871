"""The dashboard of the model's quality: metrics from reported outcomes, beside those of the card."""

from grafana_foundation_sdk.builders import dashboard as dashboards

from monitoring.dashboards.panels import (
    MODEL,
    NAMESPACE,
    RELEASE,
    RELEASES,
    VERSION,
    bars,
    new_dashboard,
    number,
    numbers,
    series,
    status,
)

CHOSEN = f'{RELEASES}, model=~"$model", model_version=~"$model_version"'
REPORTED = f'{RELEASES}, model=~"$model"'
PAGE = "Page: monitoring/runbooks/ModelQualityBelowCard.md"
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


def dashboard() -> dashboards.Dashboard:
    """Return the dashboard; its queries read what every model shows where feedback is on."""
    outcomes = f"max by (model, model_version, predicted, outcome) (model_outcomes{{{CHOSEN}}})"
    board = (
        new_dashboard(
            "Model quality",
            "model-quality",
            "How good the model is by reported outcomes, compared with the metrics on its card.",
            variables=(NAMESPACE, RELEASE, MODEL, VERSION),
            labels_of="model_quality_expected",
            refresh="30s",
        )
        .with_panel(
            status(
                "Database of Outcomes",
                "Red while a pod cannot read the database. Page: monitoring/runbooks/FeedbackNotStored.md",
                f"min(feedback_store_up{{{RELEASES}}}) or vector(0)",
                {"0": "unavailable", "1": "available"},
            )
        )
        .with_panel(
            number(
                "Outcomes",
                "Reported outcomes of predictions in the window, 30 days by default.",
                "short",
                f"sum({outcomes})",
            )
        )
        .with_panel(
            numbers(
                "Predicted / True",
                "The confusion matrix of each version: predictions by predicted and true class.",
                "short",
                (
                    f"sum by (model_version, predicted, outcome) ({outcomes})",
                    "{{model_version}}: {{predicted}} / {{outcome}}",
                ),
                width=12,
            )
        )
    )
    for metric, (title, description) in METRICS.items():
        board = board.with_panel(
            series(
                title,
                f"{description} With its 95 % confidence interval, and the value on the card. {PAGE}",
                "none",
                *(
                    (
                        f"max by (model_version) ({name}{{{CHOSEN}, {labels}}})",
                        f"{legend} {{{{model_version}}}}",
                    )
                    for name, labels, legend in (
                        ("model_quality", f'metric="{metric}"', "outcomes"),
                        ("model_quality_lower", f'metric="{metric}", confidence_level="0.95"', "lower bound"),
                        ("model_quality_upper", f'metric="{metric}", confidence_level="0.95"', "upper bound"),
                        ("model_quality_expected", f'metric="{metric}"', "card"),
                    )
                ),
            )
        )
    return board.with_panel(
        bars(
            "Calibration",
            "By version and score bin: the mean score, and the observed frequency with its 95 % confidence "
            "interval. The score is the probability of the positive class or, with more than two, the "
            "predicted one.",
            *(
                (f"model_calibration_{name}{{{CHOSEN}}}", legend)
                for name, legend in (
                    ("score", "mean score"),
                    ("observed", "observed"),
                    ("lower", "lower bound"),
                    ("upper", "upper bound"),
                )
            ),
        )
    ).with_panel(
        series(
            "Feedback",
            "Reported outcomes a second, by verdict.",
            "short",
            (
                f"sum by (verdict) (rate(feedback_total{{{REPORTED}}}[$__rate_interval]))",
                "{{verdict}}",
            ),
        )
    )
