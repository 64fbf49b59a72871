"""Failures made on real servers: what clients feel of each, which alerts say so, and how soon.

`python -m tests.programs.failures` writes the table of them into monitoring/README.md.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.harness import PROJECT, TEST_LONG
from tests.programs.stage import Stage


@dataclass(frozen=True)
class Failure:
    """What clients feel, which alerts fire for it, and after how many seconds at most."""

    felt: str
    alerts: Mapping[str, int]
    play: Callable[[Stage], None]
    servers: Sequence[Mapping[str, str]] = ({}, {})
    model: str = "heart-disease"
    meanwhile: frozenset[str] = frozenset()
    """Alerts that may fire beside, for they mean the same."""
    long: bool = False
    """Whether only `make test-long` makes it happen: it takes minutes, or most of a machine."""
    quiet: int = 60
    """Seconds for which no alert may fire, where none is expected."""
    ends: bool = False
    """Whether servers end, and take along what they counted."""
    scrapes: Sequence[bool] = ()
    """Which of a server's scrapes are answered, again and again; all where there are none."""
    service_monitor: bool = False
    """Whether targets have the labels that the Operator gives them by the chart's ServiceMonitor."""
    prometheus: str = "of the chart"
    """The Prometheus that observes it; those of one name share one."""


def nothing(stage: Stage) -> None:
    stage.visit()


def each_pod_has_a_client(stage: Stage) -> None:
    for server in stage.servers:
        stage.visit(servers=[server])


def batches_queue(stage: Stage) -> None:
    for _ in range(32):
        stage.visit("/predict/batch", rows=1000, pause=0)


def many_ask(stage: Stage) -> None:
    for _ in range(8):
        stage.visit(pause=0.05)


def connections_are_kept(stage: Stage) -> None:
    stage.visit()
    stage.crowd(32)


def some_batches(stage: Stage) -> None:
    good, bad = stage.servers
    stage.visit(servers=[good], pause=0.02)
    stage.visit("/predict/batch", rows=2, servers=[bad], pause=3)


def all_die(stage: Stage) -> None:
    for server in stage.servers:
        server.process.kill()
        server.wait()


def scaled_to_zero(stage: Stage) -> None:
    stage.visit()
    stage.scale_to_zero()


def scaled_to_zero_and_forgotten(stage: Stage) -> None:
    stage.visit()
    stage.vanish()
    stage.scale_to_zero()


def prometheus_restarts(stage: Stage) -> None:
    stage.visit()
    stage.prometheus.stop()
    stage.prometheus.start()


def prometheus_is_away(stage: Stage) -> None:
    """For longer than a sample counts as the present one."""
    stage.visit()
    stage.prometheus.stop()

    def come_back() -> None:
        stage.end.wait(AWAY_SECONDS)
        stage.prometheus.start()

    stage.start(come_back)


def hardly_anybody_asks(stage: Stage) -> None:
    stage.visit(pause=60)


def rolls_out(stage: Stage) -> None:
    stage.visit()
    stage.restart_in_turn()


def candidate_breaks(stage: Stage) -> None:
    stage.visit(pause=0.02)
    Path(stage.servers[0].settings["FAULT_CANDIDATE_FILE"]).write_text("raise", encoding="utf-8")


def shadow_hangs(stage: Stage) -> None:
    stage.visit(pause=0.02)
    Path(stage.servers[0].settings["FAULT_CANDIDATE_FILE"]).write_text("hang", encoding="utf-8")


def model_breaks(stage: Stage) -> None:
    stage.visit(servers=stage.servers[:1])
    Path(stage.servers[0].settings["FAULT_ENGINE_FILE"]).touch()


def client_is_wrong(stage: Stage) -> None:
    stage.visit("/predict", rows=1)


def workers_die(stage: Stage) -> None:
    stage.visit()
    stage.kill_workers()


AWAY_SECONDS = 330
ALL_RELEASES = "of all releases"
"""A Prometheus with the rules of Kubernetes and Compose, which name no release; others have the chart's."""

DRAINS = ({"DRAIN_SECONDS": "4"},) * 2
CANARY = {"MODEL_VERSION": "v1", "CANDIDATE_VERSION": "v2", "FAULT_CANDIDATE_FILE": "{folder}/fault"}
ERRORS = frozenset({"ApiErrorBurst"})
GONE = {"ApiDown": 180, "ApiTargetDown": 180}
SLOW = frozenset({"PredictionLatencyHigh", "ApiSaturated"})

ALL_FAILURES = {
    "all is well": Failure("nothing", {}, nothing),
    "pods are replaced one by one": Failure("nothing", {}, rolls_out, DRAINS, ends=True),
    "batches queue": Failure(
        "waits of more than 0.1 s, most of them before the model begins",
        {"ApiSaturated": 240},
        batches_queue,
        ({},),
        meanwhile=frozenset({"PredictionLatencyFastBurn", "PredictionLatencyHigh"}),
        long=True,
    ),
    "one pod of two is slow": Failure(
        "one prediction in four takes 0.4 s",
        {"PredictionLatencyFastBurn": 180},
        each_pod_has_a_client,
        ({"FAULT_LATENCY_SECONDS": "0.06"}, {"FAULT_LATENCY_SECONDS": "0.4"}),
        meanwhile=SLOW,
    ),
    "one pod of two fails": Failure(
        "every second prediction gets 500",
        {"PredictionErrorsFastBurn": 180, "ApiErrorBurst": 120},
        nothing,
        ({}, {"FAULT_ERROR_RATE": "1"}),
    ),
    "batches fail, rows do not": Failure(
        "every batch gets 500, among 150 rows each",
        {"PredictionErrorsFastBurn": 180},
        some_batches,
        ({}, {"FAULT_ERROR_RATE": "1"}),
        meanwhile=ERRORS,
    ),
    "all pods are gone, and nobody asks": Failure(
        "no connection",
        GONE,
        all_die,
        meanwhile=frozenset({"PredictionErrorsFastBurn"}),
        ends=True,
    ),
    "load is shed": Failure(
        "429 for most predictions",
        {"PredictionErrorsFastBurn": 180, "ApiErrorBurst": 120},
        many_ask,
        ({"MAX_ACTIVE_REQUESTS": "1", "FAULT_LATENCY_SECONDS": "0.2"},),
        meanwhile=SLOW | {"PredictionLatencyFastBurn"},
    ),
    "connections are exhausted": Failure(
        "connections that are kept unused are closed",
        {"ApiConnectionsExhausted": 180},
        connections_are_kept,
        ({"MAX_CONNECTIONS": "16"},),
    ),
    "a canary's candidate fails": Failure(
        "nothing: the served version answers",
        {"CandidateNotLoaded": 180},
        candidate_breaks,
        (CANARY | {"CANARY_PERCENT": "50"},),
        "churn",
        frozenset({"CandidateFailing"}),
    ),
    "a shadow's candidate hangs": Failure(
        "nothing", {"CandidateNotLoaded": 180}, shadow_hangs, (CANARY | {"SHADOW": "true"},), "churn"
    ),
    "the model breaks": Failure(
        "503 for each prediction",
        {"ModelNotLoaded": 180, "PredictionErrorsFastBurn": 180, "ApiErrorBurst": 120},
        model_breaks,
        ({"FAULT_ENGINE_FILE": "{folder}/broken", "PROBE_SECONDS": "1"},),
    ),
    "a client sends what the model does not take": Failure(
        "422 for each prediction", {"ApiBrokenClient": 420}, client_is_wrong, long=True
    ),
    "workers crash again and again": Failure(
        "connections break now and then",
        {"ApiCrashLooping": 180},
        workers_die,
        ({"WORKERS": "3"},),
        ends=True,
    ),
    "pods are scaled to 0": Failure("no connection", GONE, scaled_to_zero, DRAINS, ends=True),
    "pods are scaled to 0, and no longer discovered": Failure(
        "no connection", {"ApiDown": 180}, scaled_to_zero_and_forgotten, DRAINS, ends=True
    ),
    "one of two releases in a namespace dies": Failure(
        "no connection", GONE, all_die, ({},), ends=True, prometheus=ALL_RELEASES
    ),
    "the other of two releases goes on": Failure(
        "nothing", {}, nothing, ({},), quiet=180, prometheus=ALL_RELEASES
    ),
    "one pod of two fails, scraped through a ServiceMonitor": Failure(
        "every second prediction gets 500",
        {"PredictionErrorsFastBurn": 180, "ApiErrorBurst": 120},
        nothing,
        ({}, {"FAULT_ERROR_RATE": "1"}),
        service_monitor=True,
    ),
    "all pods of iris are gone": Failure("no connection", GONE, all_die, ({},), "iris", ends=True),
    "half of iris' predictions fail": Failure(
        "500 for half of predictions",
        {"PredictionErrorsFastBurn": 180},
        nothing,
        ({"FAULT_ERROR_RATE": "0.5"},),
        "iris",
        ERRORS,
    ),
    "all pods of fraud are gone": Failure("no connection", GONE, all_die, ({},), "fraud", ends=True),
    "Prometheus restarts": Failure(
        "nothing", {}, prometheus_restarts, ({},), quiet=150, prometheus="that restarts"
    ),
    "Prometheus is away for five and a half minutes": Failure(
        "nothing",
        {},
        prometheus_is_away,
        ({},),
        long=True,
        quiet=AWAY_SECONDS + 150,
        prometheus="that is away",
    ),
    "one request a minute": Failure("nothing", {}, hardly_anybody_asks, ({},), long=True, quiet=600),
    "one request a minute, and each fails": Failure(
        "500 for each prediction",
        {"PredictionErrorsFastBurn": 480},
        hardly_anybody_asks,
        ({"FAULT_ERROR_RATE": "1"},),
        meanwhile=ERRORS,
        long=True,
    ),
    "one scrape in ten fails": Failure(
        "nothing", {}, nothing, long=True, quiet=600, scrapes=[True] * 9 + [False]
    ),
    "one scrape in three fails": Failure(
        "nothing, as long as only scrapes fail",
        {"ApiTargetFlapping": 660},
        nothing,
        long=True,
        scrapes=[True, True, False],
    ),
    "three scrapes in five fail": Failure(
        "nothing, as long as only scrapes fail",
        {"ApiTargetFlapping": 480},
        nothing,
        long=True,
        scrapes=[True, False, True, False, False],
    ),
}

FAILURES = {name: failure for name, failure in ALL_FAILURES.items() if TEST_LONG or not failure.long}

PAGE = PROJECT / "monitoring" / "README.md"
BEGIN, END = "<!-- failures: written by python -m tests.programs.failures -->\n", "<!-- end of failures -->"


def table() -> str:
    lines = ["| what happens | what clients feel | who says so, after at most |", "|---|---|---|"]
    for name, failure in ALL_FAILURES.items():
        alerts = ", ".join(f"{alert} ({seconds // 60 or 1} min)" for alert, seconds in failure.alerts.items())
        lines.append(f"| {name} | {failure.felt} | {alerts or 'nobody'} |")
    return "\n".join(lines) + "\n"


def page_with_table() -> str:
    """Return the page of monitoring, with the table of all failures in its place."""
    before, begin, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    return before + begin + table() + end + after


if __name__ == "__main__":
    PAGE.write_text(page_with_table(), encoding="utf-8")
