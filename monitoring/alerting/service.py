"""Alerts on the service: instances, clients, latency, saturation, and traffic that stays away."""

from monitoring.alerting.requests import DOWN, JOB, PERCENT, ROUTE, Rule, alert
from monitoring.panels.names import Names
from monitoring.panels.objectives import APP, BURST, PREDICTIONS, PROBED, SLOW_SECONDS

POD = f"{JOB}, pod, instance"
INSTANCE = "{{ or $labels.pod $labels.instance }}"
CRASHING = "{{ or $labels.pod $labels.instance $labels.job }}"
COUNT = '{{ printf "%.0f" $value }}'

UNMATCHED = 'endpoint="unmatched"'
QUEUE_SECONDS = 0.1
MOST_ACTIVE = 50
MANY = 20
"""Requests within the window of an alert, below which a share says little."""


def instances(*, named: bool) -> list[Rule]:
    """Alerts on instances; rules that name their release, as the chart's do, also miss one that never came."""
    never = f"\nor absent(up{{{APP}}})\nunless on () {DOWN}" if named else ""
    return [
        alert(
            "ApiDown",
            f"{DOWN}{never}",
            "critical",
            "No instance of {{ $labels.job }} answers",
            "Clients of {{ $labels.job }} get no answer, for a minute: no instance answers Prometheus, or "
            "its Service does not answer from outside.",
            lasting="1m",
        ),
        alert(
            "ApiTargetDown",
            f"up{{{APP}}} == 0",
            "warning",
            f"{INSTANCE} does not answer",
            f"{INSTANCE} does not answer Prometheus' scrapes, for a minute.",
            lasting="1m",
        ),
        alert(
            "ApiTargetFlapping",
            f"{flapping(f'up{{{APP}}}')}\nor {flapping(f'probe_success{{{PROBED}}}')}",
            "warning",
            f"{INSTANCE} answers {PERCENT} of the time",
            f"{INSTANCE} answered {PERCENT} of scrapes or probes within 10 minutes: it comes and goes.",
            lasting="5m",
        ),
        alert(
            "ApiCrashLooping",
            f"changes(process_start_time_seconds{{{APP}}}[15m]) >= 2\n"
            f"or sum by ({JOB}) (changes(process_start_time_seconds{{{APP}}}[1h])) >= 4",
            "warning",
            f"{CRASHING} restarts again and again",
            f"{CRASHING}, or a worker of it, restarted {COUNT} times: twice within 15 minutes, or the pods of a release "
            "four times within an hour.",
        ),
    ]


def flapping(answers: str) -> str:
    """Return where a series of answers (1 or 0) comes and goes: one that went once, or came back, does not."""
    return f"avg_over_time({answers}[10m]) < 0.8 and changes({answers}[10m]) >= 3"


def model_loaded(names: Names) -> list[Rule]:
    version = names.shown("model_loaded", "model", "version")
    return [
        alert(
            "ModelNotLoaded",
            f"{names.series('model_loaded', APP)} == 0",
            "critical",
            f"The model of {INSTANCE} is unavailable",
            f"The model {version} of {INSTANCE} fails its probes or its requests; it answers 503 and "
            "gets no traffic until the probes pass again.",
            lasting="30s",
        )
    ]


def bundles(names: Names) -> list[Rule]:
    """Pods of one release that serve different bundles, for longer than a rollout may take."""
    served = names.series("bundle_info", APP)
    bundle = ", ".join([JOB, *names.labels("bundle_info", "model", "version", "bundle_sha256")])
    model = names.label("bundle_info", "model")
    return [
        alert(
            "ServedBundlesDiffer",
            f"group by ({JOB}, {model}) (\n"
            f"  count by ({bundle}) ({served})\n"
            f"  < on ({JOB}) group_left ()\n"
            f"  count by ({JOB}) (group by ({POD}) ({served}))\n)",
            "warning",
            f"Pods of {{{{ $labels.job }}}} serve different bundles of {{{{ $labels.{model} }}}}",
            f"For a quarter of an hour some pods of {{{{ $labels.job }}}} have served a bundle of "
            f"{{{{ $labels.{model} }}}} that others do not: a request's answer depends on the pod that it reaches.",
            lasting="15m",
        )
    ]


def errors(names: Names) -> list[Rule]:
    error_type = names.label("errors", "error_type")
    series = names.series("errors", f'{error_type}=~"InternalError|ModelNotLoaded|Overloaded"')
    kind = f"{{{{ $labels.{error_type} }}}}"
    return [
        alert(
            "ApiErrorBurst",
            f"sum by ({JOB}, {error_type}) (\n  increase({series}[5m])\n) >= {BURST}",
            "warning",
            f"{COUNT} errors of type {kind} within 5 minutes",
            f"{{{{ $labels.job }}}} counted {COUNT} errors of type {kind} within 5 minutes.",
        )
    ]


def clients(names: Names) -> list[Rule]:
    """A client whose requests are rejected, and clients that are gone."""
    asked = names.series("requests", PREDICTIONS)
    rejected = names.series("requests", PREDICTIONS, '{status}=~"4..", {status}!~"429|499"')
    lost = names.series("requests", UNMATCHED)
    every = f"sum by ({JOB}) (increase({asked}[15m]))"
    stray = f"sum by ({JOB}) (increase({lost}[15m]))"
    hour, day_before, week_before, before = (
        f"sum by ({JOB}) (increase({asked}{window}))"
        for window in ("[1h]", "[1h] offset 1d", "[1h] offset 7d", "[3h] offset 1h")
    )
    return [
        alert(
            "ApiBrokenClient",
            f"sum by ({JOB}) (increase({rejected}[15m])) / {every} > 0.2\nand {every} >= {MANY}\n"
            f"or {stray} / ({stray} + {every}) > 0.5\nand {stray} >= {MANY}",
            "warning",
            f"{PERCENT} of requests are rejected",
            f"{{{{ $labels.job }}}} rejects {PERCENT} of requests over 15 minutes as invalid or unknown (4xx): a client "
            "sends what the API does not take.",
            lasting="5m",
        ),
        alert(
            "PredictionTrafficMissing",
            f"{hour} == 0\nand (\n"
            f"  {week_before} >= {MANY}\n"
            f"  or ({day_before} >= {MANY} or {before} >= {5 * MANY} unless {day_before}) unless {week_before}\n)",
            "warning",
            "Nobody asks {{ $labels.job }} for predictions",
            "{{ $labels.job }} is up and got no prediction request for an hour, unlike at this time of other days: look "
            "between the clients and the API.",
            lasting="15m",
        ),
    ]


def latency(names: Names) -> list[Rule]:
    buckets = names.series("request_duration", PREDICTIONS, suffix="_bucket")
    counts = names.series("request_duration", PREDICTIONS, suffix="_count")
    duration = "{{ $value | humanizeDuration }}"
    return [
        alert(
            "PredictionLatencyHigh",
            f"histogram_quantile(0.95, sum by ({ROUTE}, le) (\n  rate({buckets}[5m]))) > {SLOW_SECONDS}\n"
            f"and sum by ({ROUTE}) (increase({counts}[5m])) >= {MANY}",
            "warning",
            f"The 95th percentile of prediction latency is {duration}",
            f"The 95th percentile of prediction latency of {{{{ $labels.job }}}} on {{{{ $labels.endpoint }}}} is "
            f"{duration}, over 5 minutes.",
            lasting="5m",
        )
    ]


def saturation(names: Names) -> list[Rule]:
    """Requests that wait for the server; by instance, for one may be slow beside another."""
    saturated = [
        f"histogram_quantile(0.9, sum by ({POD}, le) (rate({names.series(waiting, APP, suffix='_bucket')}[2m])))"
        f" > {QUEUE_SECONDS}"
        for waiting in ("queue", "loop_lag")
        if names.has(waiting)
    ]
    if names.has("active_requests"):
        active = names.series("active_requests", APP)
        saturated.append(f"max by ({POD}) (avg_over_time({active}[2m])) > {MOST_ACTIVE}")
    if not saturated:
        return []
    return [
        alert(
            "ApiSaturated",
            "\nor ".join(saturated),
            "warning",
            f"Requests wait for {INSTANCE}",
            f"For minutes requests have reached {INSTANCE} faster than it answers: a tenth waits longer than "
            f"{QUEUE_SECONDS} s before it begins or is read, or more than {MOST_ACTIVE} are in flight. Above MAX_ACTIVE_REQUESTS, "
            "and where batches would wait longer than MAX_QUEUE_SECONDS, it sheds load with 429: add pods.",
            lasting="2m",
        )
    ]


def connections(names: Names) -> list[Rule]:
    """Connections that are closed for others, all the time: a single burst is over before anybody could act."""
    closed = names.series("closed_connections", APP, '{reason}=~"replaced|memory"')
    reason = names.label("closed_connections", "reason")
    many, still = (f"sum by ({POD}, {reason}) (increase({closed}[{window}]))" for window in ("5m", "1m"))
    return [
        alert(
            "ApiConnectionsExhausted",
            f"{many} >= {MANY}\nand {still} > 0",
            "warning",
            f"{INSTANCE} closes connections to make room for others",
            f"Within 5 minutes {INSTANCE} closed {COUNT} connections ({{{{ $labels.{reason} }}}}), and goes on: its clients "
            "hold more connections (replaced: MAX_CONNECTIONS) or unfinished bodies (memory: MAX_BUFFERED_BYTES) than it "
            "has room for.",
            lasting="2m",
        )
    ]


def alerts(names: Names, *, named: bool) -> list[Rule]:
    """Return the alerts for which the vocabulary has names; `named` where each selects its release."""
    rules = instances(named=named)
    rules += model_loaded(names) if names.has("model_loaded") else []
    rules += bundles(names) if names.has("bundle_info") else []
    rules += errors(names) if names.has("errors") else []
    if names.has("requests"):
        rules += clients(names)
    if names.has("request_duration"):
        rules += latency(names)
    rules += connections(names) if names.has("closed_connections") else []
    return rules + saturation(names)
