"""Panels of the objectives: how much of the error budgets is left, how fast it is spent, and alerts."""

from dataclasses import dataclass

from monitoring.panels.expressions import Aggregate, Divided, Selector
from monitoring.panels.objectives import DAYS, ERRORS, FAST, LATENCY, SLOW, Burn, Objective
from monitoring.panels.panel import GREEN, RED, YELLOW, Kind, Panel, Query, panel
from monitoring.panels.scope import Scope

SPENT_BY = (("Errors", ERRORS, "failures and downtime"), ("Slow answers", LATENCY, "slow predictions"))
"""Title of an objective, the objective, and what spends its budget."""

ALERTING = ('alertstate=~"firing|pending"', 'severity!="none"')


@dataclass(frozen=True)
class Budgets:
    """They read what rules record."""

    scope: Scope

    def spent(self) -> list[Panel]:
        """Return of each objective how much of its budget is left, and how fast it is spent."""
        return [
            made
            for title, objective, bad in SPENT_BY
            for made in (self.left(title, objective, bad), self.burn_rate(title, objective))
        ]

    def left(self, title: str, objective: Objective, bad: str) -> Panel:
        return panel(
            Kind.SHARE,
            f"{title}: budget left",
            f"Error budget left over {DAYS} days, of the worst route: 1 without {bad}, 0 at "
            f"{percent(objective.allowed)} of predictions, the objective, and negative beyond it.",
            "percentunit",
            Query(Aggregate("min", self._of(f"job:{objective.series}:budget_left"))),
            steps=((None, RED), (0.25, YELLOW), (0.5, GREEN)),
        )

    def burn_rate(self, title: str, objective: Objective) -> Panel:
        return panel(
            Kind.LINES,
            f"{title}: burn rate",
            f"Of the worst route; 1 spends the error budget of {DAYS} days in {DAYS} days. An alert pages "
            f"{paces(FAST)}, and warns {paces(SLOW)}.",
            "none",
            *(
                Query(
                    Divided(
                        Aggregate("max", self._of(f"job:{objective.series}:ratio{burn.long}"), ("job",)),
                        objective.allowed,
                    ),
                    f"{{{{job}}}} {burn.long}",
                )
                for burn in FAST + SLOW
            ),
            runbook=f"Prediction{objective.name}FastBurn",
            warning=f"Prediction{objective.name}SlowBurn",
            width=18,
        )

    def requests(self) -> Panel:
        return panel(
            Kind.LINES,
            "Requests that count",
            "Prediction requests over an hour by route, without those rejected with a 4xx status "
            "other than 429.",
            "short",
            Query(
                Aggregate("sum", self._of("job:prediction_requests:increase1h"), ("job", "endpoint")),
                "{{job}} {{endpoint}}",
            ),
        )

    def availability(self) -> Panel:
        return panel(
            Kind.LINES,
            "Availability",
            "1 while clients can reach a release, 0 while no instance of it answers, or its Service does "
            "not.",
            "percentunit",
            Query(Aggregate("min", self._of("job:api:available"), ("job",)), "{{job}}"),
            runbook="ApiDown",
            most=1,
        )

    def alerts(self) -> Panel:
        """Return the alerts, and when each began: the second query has the same labels but the state."""
        return panel(
            Kind.ALERTS,
            "Active Alerts",
            "Alerts of this release that are pending or firing.",
            "none",
            Query(Selector("ALERTS", (*ALERTING, *self.scope.releases))),
            Query(Selector("ALERTS_FOR_STATE", (ALERTING[1], *self.scope.releases))),
        )

    def _of(self, name: str) -> Selector:
        return Selector(name, self.scope.releases)


def paces(burns: tuple[Burn, ...]) -> str:
    return " or ".join(f"at {burn.pace:g} over {burn.long}" for burn in burns)


def percent(share: float) -> str:
    return f"{100 * share:g} %"
