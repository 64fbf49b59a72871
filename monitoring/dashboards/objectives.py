"""The dashboard of the objectives: how much of the error budgets is left, and how fast it is spent."""

from grafana_foundation_sdk.builders import dashboard as dashboards

from monitoring.dashboards.panels import CHOSEN, new_dashboard, with_panels
from monitoring.panels.budgets import Budgets, percent
from monitoring.panels.objectives import DAYS, ERRORS, LATENCY, SLOW_SECONDS


def dashboard() -> dashboards.Dashboard:
    budgets = Budgets(CHOSEN)
    board = new_dashboard(
        "Heart disease API: objectives",
        "heart-disease-objectives",
        f"{percent(1 - ERRORS.allowed)} of predictions are not answered with 5xx or 429 while the API can be "
        f"reached, and {percent(1 - LATENCY.allowed)} take at most {SLOW_SECONDS} s, over {DAYS} days.",
        labels_of="feature_reference_rows",
    )
    return with_panels(board, *budgets.spent(), budgets.requests(), budgets.availability())
