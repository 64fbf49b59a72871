"""Failures made on real servers: what clients feel of each, which alerts say so, and how soon.

`python -m tests.programs.failures` writes the table of them into monitoring/README.md.
"""

import json
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

import psutil
import requests

from tests.harness import PROJECT, TEST_LONG, Server
from tests.systems import System


@dataclass
class Stage:
    """The servers of one release, and clients that go on until the end."""

    servers: list[Server]
    system: System
    folder: Path
    end: threading.Event
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    clients: list[threading.Thread] = field(default_factory=list)

    def visit(
        self, path: str = "/predict", rows: int = 0, pause: float = 0.1, servers: Sequence[Server] = ()
    ) -> None:
        """Start a client that asks the servers in turn; what it got is in `statuses` by path."""
        row = self.system.sample
        body = json.dumps({"instances": [row] * rows} if rows else row).encode()
        client = threading.Thread(target=self._visit, args=(path, body, pause, servers or self.servers))
        self.clients.append(client)
        client.start()

    def _visit(self, path: str, body: bytes, pause: float, servers: Sequence[Server]) -> None:
        turns: Iterator[Server] = cycle(servers)
        headers = {"Content-Type": "application/json"}
        with requests.Session() as session:
            while not self.end.wait(pause):
                with suppress(requests.RequestException):
                    answer = session.post(next(turns).url + path, data=body, headers=headers, timeout=60)
                    self.statuses[path, answer.status_code] += 1

    def kill_workers(self) -> None:
        """Kill a worker of the first server every few seconds."""

        def kill() -> None:
            while not self.end.wait(5):
                for child in psutil.Process(self.servers[0].process.pid).children():
                    if "spawn_main" in " ".join(child.cmdline()):
                        child.kill()
                        break

        self.clients.append(threading.Thread(target=kill))
        self.clients[-1].start()

    def restart_in_turn(self) -> None:
        """Replace the servers one after the other, as a rollout does."""
        for place, server in enumerate(self.servers):
            server.process.send_signal(signal.SIGTERM)
            assert server.wait() == 0
            settings = server.settings | {"PORT": str(server.port)}
            self.servers[place] = Server(settings).wait_until_ready()


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


def nothing(stage: Stage) -> None:
    stage.visit()


def batches_queue(stage: Stage) -> None:
    for _ in range(32):
        stage.visit("/predict/batch", rows=1000, pause=0)


def many_ask(stage: Stage) -> None:
    for _ in range(8):
        stage.visit(pause=0.05)


def some_batches(stage: Stage) -> None:
    good, bad = stage.servers
    stage.visit(servers=[good], pause=0.02)
    stage.visit("/predict/batch", rows=2, servers=[bad], pause=3)


def all_die(stage: Stage) -> None:
    for server in stage.servers:
        server.process.kill()
        server.wait()


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


CANARY = {"MODEL_VERSION": "v1", "CANDIDATE_VERSION": "v2", "FAULT_CANDIDATE_FILE": "{folder}/fault"}
ERRORS = frozenset({"ApiErrorBurst"})
SLOW = frozenset({"PredictionLatencyHigh", "ApiSaturated"})

ALL_FAILURES = {
    "all is well": Failure("nothing", {}, nothing),
    "pods are replaced one by one": Failure("nothing", {}, rolls_out, ({"DRAIN_SECONDS": "4"},) * 2),
    "batches queue": Failure(
        "waits of more than 0.1 s, most of them before the model begins",
        {"ApiSaturated": 240},
        batches_queue,
        ({},),
        meanwhile=frozenset({"PredictionLatencyFastBurn", "PredictionLatencyHigh"}),
        long=True,
    ),
    "one pod of two is slow": Failure(
        "every second prediction takes 0.4 s",
        {"PredictionLatencyFastBurn": 180},
        nothing,
        ({}, {"FAULT_LATENCY_SECONDS": "0.4"}),
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
        {"ApiDown": 180, "ApiTargetDown": 180},
        all_die,
        meanwhile=frozenset({"ApiTargetFlapping", "PredictionErrorsFastBurn"}),
    ),
    "load is shed": Failure(
        "429 for most predictions",
        {"PredictionErrorsFastBurn": 180, "ApiErrorBurst": 120},
        many_ask,
        ({"MAX_ACTIVE_REQUESTS": "1", "FAULT_LATENCY_SECONDS": "0.2"},),
        meanwhile=SLOW | {"PredictionLatencyFastBurn"},
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
        "connections break now and then", {"ApiCrashLooping": 180}, workers_die, ({"WORKERS": "3"},)
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
