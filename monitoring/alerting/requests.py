"""Recordings and alerts of the objectives: predictions that fail or are slow, by route, and time without the API."""

from typing import Any

from monitoring.panels.names import Names
from monitoring.panels.objectives import (
    APP,
    DAYS,
    ERRORS,
    FAST,
    LATENCY,
    PREDICTIONS,
    PROBED,
    SIGMAS,
    SLOW,
    SLOW_SECONDS,
    WINDOWS,
    Burn,
    Objective,
)

Rule = dict[str, Any]

PERCENT = "{{ $value | humanizePercentage }}"
JOB = "namespace, job"
ROUTE = f"{JOB}, endpoint"
DOWN = "job:api:down"
AVAILABLE = "job:api:available"
PUBLIC_URL = "{{ $externalLabels.public_url }}"
"""Where readers reach the API, by the configuration of Prometheus."""


def availability() -> list[Rule]:
    """Record which releases clients cannot reach.

    A release is expected where a target was scraped within a day, or where its Service has been there for five
    minutes: its first pods may have to pull their image. After a pause of its own Prometheus waits for a minute.
    """
    seen = f"group by ({JOB}) (last_over_time(up{{{APP}}}[1d]))"
    return [
        record(
            DOWN,
            f"(\n  {seen}\n  unless on ({JOB}) group by ({JOB}) (up{{{APP}}} == 1)\n"
            f"  or (min by ({JOB}) (probe_success{{{PROBED}}}) == 0) + 1\n"
            f"  and on ({JOB}) ({seen} or group by ({JOB}) (probe_success{{{PROBED}}} offset 5m))\n)\n"
            f"and on ({JOB}) ({AVAILABLE} offset 1m)",
        ),
        record(AVAILABLE, f"0 * {DOWN}\nor {seen}\nor group by ({JOB}) (probe_success{{{PROBED}}})"),
        *(
            record(f"{AVAILABLE}_ratio{window}", f"avg_over_time({AVAILABLE}[{window}])")
            for window in WINDOWS
        ),
    ]


def recordings(names: Names) -> list[Rule]:
    """Record by route how many predictions count, how many of them are bad, and the ratio over each window.

    A response that sheds load (429) is the server's fault, other 4xx are the client's.
    """
    requests = names.series("requests", PREDICTIONS, '{status}=~"[1235]..|429"')
    failures = names.series("requests", PREDICTIONS, '{status}=~"5..|429"')
    timed = names.series("request_duration", PREDICTIONS, suffix="_count")
    fast = names.series("request_duration", PREDICTIONS, f'le="{SLOW_SECONDS}"', suffix="_bucket")
    rules = []
    for window in WINDOWS:
        total, bad = (f"sum by ({ROUTE}) (increase({series}[{window}]))" for series in (requests, failures))
        every, in_time = (f"sum by ({ROUTE}) (increase({series}[{window}]))" for series in (timed, fast))
        rules += [
            record(f"job:prediction_requests:increase{window}", total),
            record(f"job:prediction_failures:increase{window}", bad),
            record(f"job:prediction_timed:increase{window}", every),
            record(f"job:prediction_slow:increase{window}", f"{every}\n- {in_time}"),
            *ratios(window),
        ]
    return rules


def totals(objective: Objective) -> str:
    """Return what is recorded of the predictions that an objective counts."""
    return "job:prediction_requests" if objective is ERRORS else "job:prediction_timed"


def ratios(window: str) -> list[Rule]:
    """Record the share of bad predictions; of failures, with the time in which nobody was there to fail."""
    share = f"job:prediction_failures:share{window}"
    available = f"on ({JOB}) group_left () {AVAILABLE}_ratio{window}"
    return [
        record(
            share,
            f"job:prediction_failures:increase{window} / (job:prediction_requests:increase{window} > 0)\n"
            f"or 0 * job:prediction_requests:increase{window}",
        ),
        record(f"job:prediction_failures:ratio{window}", f"1 - (1 - {share}) * {available}\nor {share}"),
        record(
            f"job:prediction_slow:ratio{window}",
            f"job:prediction_slow:increase{window} / (job:prediction_timed:increase{window} > 0)",
        ),
    ]


def budgets() -> list[Rule]:
    """Record what is left of the budgets, by what was recorded at each evaluation of all their days.

    Summed increases over five minutes count a prediction as often as there were evaluations, good and bad alike.
    """
    rules = []
    for objective in (ERRORS, LATENCY):
        every = f"sum_over_time({totals(objective)}:increase5m[{DAYS}d])"
        bad = f"sum_over_time(job:{objective.series}:increase5m[{DAYS}d])"
        ratio = f"({bad} / ({every} > 0) or 0 * {every})"
        if objective is ERRORS:
            available = f"avg_over_time({AVAILABLE}[{DAYS}d])"
            ratio = f"(1 - (1 - {ratio}) * on ({JOB}) group_left () {available})"
        rules.append(record(f"job:{objective.series}:budget_left", f"1 - {ratio} / {objective.allowed}"))
    return rules


def burning(objective: Objective, burns: tuple[Burn, ...]) -> str:
    """Return when a budget is spent too fast: by more bad predictions than chance explains, or by downtime."""
    return "\nor\n".join(
        paced(objective, burn) + "and " + because for burn in burns for because in reasons(objective, burn)
    )


def paced(objective: Objective, burn: Burn) -> str:
    return "".join(
        f"{joint}job:{objective.series}:ratio{window} > {burn.pace} * {objective.allowed}\n"
        for joint, window in (("", burn.long), ("and ", burn.short))
    )


def reasons(objective: Objective, burn: Burn) -> list[str]:
    bad, every = f"job:{objective.series}:increase{burn.long}", f"{totals(objective)}:increase{burn.long}"
    allowed = objective.allowed
    counted = f"{bad} >= {burn.least}\nand {bad} - {allowed} * {every} > {SIGMAS} * sqrt({allowed} * {every})"
    if objective is not ERRORS:
        return [counted]
    # a release that has only begun is not down for long, by whatever share of its time
    known = f"on ({JOB}) {AVAILABLE} offset {burn.long}"
    return [
        counted,
        f"on ({JOB}) 1 - {AVAILABLE}_ratio{burn.long} > {burn.pace} * {allowed}\nand {known}",
    ]


def objective_alerts() -> list[Rule]:
    rules = []
    for objective in (ERRORS, LATENCY):
        of = objective.sentence
        where = "{{ $labels.job }}{{ with $labels.endpoint }} on {{ . }}{{ end }}"
        budget = f"{objective.allowed * 100:g} % are allowed over {DAYS} days"
        rules += [
            alert(
                f"Prediction{objective.name}FastBurn",
                burning(objective, FAST),
                "critical",
                f"{PERCENT} {of}",
                f"{where}: {PERCENT} {of}. {budget}; at this pace they are used up within days.",
                keep_firing_for="15m",
            ),
            alert(
                f"Prediction{objective.name}SlowBurn",
                burning(objective, SLOW),
                "warning",
                f"{PERCENT} {of}, for hours",
                f"{where}: {PERCENT} {of}, for hours. {budget}.",
                lasting="15m",
                keep_firing_for="6h",
            ),
        ]
    return rules


def record(name: str, expression: str) -> Rule:
    return {"record": name, "expr": expression}


def alert(
    name: str,
    expression: str,
    severity: str,
    summary: str,
    description: str,
    *,
    lasting: str = "",
    keep_firing_for: str = "",
) -> Rule:
    """Return an alert, which has a page in monitoring/runbooks/."""
    times = {"for": lasting, "keep_firing_for": keep_firing_for}
    return {
        "alert": name,
        "expr": expression,
        **{key: value for key, value in times.items() if value},
        "labels": {"severity": severity},
        "annotations": {
            "summary": summary,
            "description": description,
            "runbook_url": f"{PUBLIC_URL}/runbooks/{name}",
        },
    }
