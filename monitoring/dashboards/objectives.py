"""The dashboard of the objectives: how much of the error budgets is left, and how fast it is spent."""

from grafana_foundation_sdk.builders import dashboard as dashboards
from grafana_foundation_sdk.builders import gauge, timeseries

from monitoring.dashboards.panels import RELEASES, new_dashboard, series, share
from monitoring.panels.objectives import DAYS, ERRORS, FAST, LATENCY, SLOW, SLOW_SECONDS, Burn, Objective
from monitoring.panels.panel import GREEN, RED, YELLOW


def dashboard() -> dashboards.Dashboard:
    board = new_dashboard(
        "Heart disease API: objectives",
        "heart-disease-objectives",
        f"{percent(1 - ERRORS.allowed)} of predictions are not answered with 5xx or 429 while the API can be "
        f"reached, and {percent(1 - LATENCY.allowed)} take at most {SLOW_SECONDS} s, over {DAYS} days.",
        labels_of="feature_reference_rows",
    )
    for title, objective, bad in (
        ("Errors", ERRORS, "failures and downtime"),
        ("Slow answers", LATENCY, "slow predictions"),
    ):
        board = board.with_panel(budget_left(title, objective, bad)).with_panel(burn_rate(title, objective))
    return board.with_panel(
        series(
            "Requests that count",
            "Prediction requests over an hour by route, without those rejected with a 4xx status "
            "other than 429.",
            "short",
            (
                f"sum by (job, endpoint) (job:prediction_requests:increase1h{{{RELEASES}}})",
                "{{job}} {{endpoint}}",
            ),
        )
    ).with_panel(
        series(
            "Availability",
            "1 while clients can reach a release, 0 while no instance of it answers, or its Service does "
            "not. Page: monitoring/runbooks/ApiDown.md",
            "percentunit",
            (f"min by (job) (job:api:available{{{RELEASES}}})", "{{job}}"),
        ).max(1)
    )


def budget_left(title: str, objective: Objective, bad: str) -> gauge.Panel:
    return share(
        f"{title}: budget left",
        f"Error budget left over {DAYS} days, of the worst route: 1 without {bad}, 0 at "
        f"{percent(objective.allowed)} of predictions, the objective, and negative beyond it.",
        f"min(job:{objective.series}:budget_left{{{RELEASES}}})",
        (None, RED),
        (0.25, YELLOW),
        (0.5, GREEN),
    )


def burn_rate(title: str, objective: Objective) -> timeseries.Panel:
    alerts = [f"monitoring/runbooks/Prediction{objective.name}{speed}Burn.md" for speed in ("Fast", "Slow")]
    ratio = f"job:{objective.series}:ratio"
    return series(
        f"{title}: burn rate",
        f"Of the worst route; 1 spends the error budget of {DAYS} days in {DAYS} days. An alert pages "
        f"{paces(FAST)}, and warns {paces(SLOW)}. Pages: {' and '.join(alerts)}",
        "none",
        *(
            (
                f"max by (job) ({ratio}{burn.long}{{{RELEASES}}}) / {objective.allowed}",
                f"{{{{job}}}} {burn.long}",
            )
            for burn in FAST + SLOW
        ),
        width=18,
    )


def paces(burns: tuple[Burn, ...]) -> str:
    return " or ".join(f"at {burn.pace:g} over {burn.long}" for burn in burns)


def percent(share: float) -> str:
    return f"{100 * share:g} %"
