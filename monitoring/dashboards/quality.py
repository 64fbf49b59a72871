"""The dashboard of the model's quality: what outcomes say of it, beside its card."""

from grafana_foundation_sdk.builders import dashboard as dashboards

from monitoring.dashboards.panels import (
    MODEL,
    NAMESPACE,
    VERSION,
    bars,
    new_dashboard,
    number,
    numbers,
    series,
    status,
)

CHOSEN = 'namespace=~"$namespace", model=~"$model", model_version=~"$model_version"'
TOLD = 'namespace=~"$namespace", model=~"$model"'
PAGE = "Page: monitoring/runbooks/ModelQualityBelowCard.md"
FIGURES = {
    "accuracy": ("Accuracy", "Share of outcomes that were predicted."),
    "brier": ("Brier Score", "Mean squared error of the probability: lower is better."),
    "sensitivity": ("Sensitivity", "Share of the positive outcomes that were called positive."),
    "specificity": ("Specificity", "Share of the negative outcomes that were called negative."),
}


def dashboard() -> dashboards.Dashboard:
    """Return the dashboard; its queries read what every model shows where outcomes are taken."""
    outcomes = f"max by (model, model_version, predicted, outcome) (model_outcomes{{{CHOSEN}}})"
    board = (
        new_dashboard(
            "Model quality",
            "model-quality",
            "How good the model is by the outcomes that were told, beside the figures of its card.",
            variables=(NAMESPACE, MODEL, VERSION),
            labels_of="model_quality_expected",
            refresh="30s",
        )
        .with_panel(
            status(
                "Database of Outcomes",
                "Red while a pod cannot read it. Page: monitoring/runbooks/FeedbackNotStored.md",
                'min(feedback_store_up{namespace=~"$namespace"}) or vector(0)',
                {"0": "away", "1": "answers"},
            )
        )
        .with_panel(
            number(
                "Outcomes", "Those of the window, 30 days unless set otherwise.", "short", f"sum({outcomes})"
            )
        )
        .with_panel(
            numbers(
                "Predicted / True",
                "The confusion matrix: outcomes by predicted and by true class.",
                "short",
                (f"sum by (predicted, outcome) ({outcomes})", "{{predicted}} / {{outcome}}"),
                width=12,
            )
        )
    )
    for figure, (title, description) in FIGURES.items():
        board = board.with_panel(
            series(
                title,
                f"{description} With its 95 % interval, and the card's. {PAGE}",
                "none",
                *(
                    (
                        f"max by (model_version) ({name}{{{CHOSEN}, {labels}}})",
                        f"{legend} {{{{model_version}}}}",
                    )
                    for name, labels, legend in (
                        ("model_quality", f'metric="{figure}"', "outcomes"),
                        ("model_quality_lower", f'metric="{figure}", confidence_level="0.95"', "from"),
                        ("model_quality_upper", f'metric="{figure}", confidence_level="0.95"', "to"),
                        ("model_quality_expected", f'metric="{figure}"', "card"),
                    )
                ),
            )
        )
    return board.with_panel(
        bars(
            "Calibration",
            "By fifths of the score: its mean, and how often it came true, with the 95 % interval of that. "
            "The score is the probability of the positive class or, with more than two, of the answer.",
            *(
                (f"max by (bin) (model_calibration_{name}{{{CHOSEN}}})", legend)
                for name, legend in (
                    ("score", "mean score"),
                    ("observed", "came true"),
                    ("low", "from"),
                    ("high", "to"),
                )
            ),
        )
    ).with_panel(
        series(
            "Feedback",
            "Outcomes told a second, by what became of them.",
            "short",
            (
                f"sum by (verdict) (rate(feedback_total{{{TOLD}}}[$__rate_interval]))",
                "{{verdict}}",
            ),
        )
    )
