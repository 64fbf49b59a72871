"""Real nginx and HAProxy in front of two replicas: no request is lost to idle pools and rolling restarts."""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import mkdtemp

import pytest

from tests.harness import SAMPLE, TEST_LONG, Server, eventually, free_port
from tests.programs.proxies import Clients, haproxy, nginx
from tests.programs.slow_link import slow_link

pytestmark = [
    pytest.mark.heart,
    pytest.mark.skipif(
        not shutil.which("nginx") or not shutil.which("haproxy"), reason="no nginx or haproxy"
    ),
]

BODY = json.dumps(SAMPLE)
KEEP_ALIVE = {} if TEST_LONG else {"KEEP_ALIVE_SECONDS": "3"}
POOL_SECONDS = 60 if TEST_LONG else 2
"""Less than KEEP_ALIVE_SECONDS, whose default is 75."""

GAPS = (1, 5, 20, 59.9, 60, 60.1, 70) if TEST_LONG else (0.5, 1.9, 2, 2.1, 3, 4)
"""Seconds between the requests of a client, each with pools of its own, idle for so long."""

JITTER = 0.01
BUSY = (0.0, 0.02)
CLIENTS = 40 if TEST_LONG else 10
"""Those of each gap, at each proxy."""

ROUNDS, REQUESTS, RESTARTS = (5, 10_000, 3) if TEST_LONG else (5, 500, 1)
MOST_SECONDS = 3600.0


class Replica:
    """A server that can be started anew on its port."""

    def __init__(self, settings: dict[str, str]) -> None:
        self._settings = settings | {"PORT": str(free_port()), "DRAIN_SECONDS": "4", "LOG_LEVEL": "warning"}
        self.server = Server(self._settings).wait_until_ready()

    def restart(self) -> None:
        self.server.process.terminate()
        assert self.server.wait() == 0
        self.server = Server(self._settings).wait_until_ready()


@pytest.fixture
def replicas() -> Iterator[Callable[[dict[str, str]], list[Replica]]]:
    started: list[Replica] = []

    def start(settings: dict[str, str]) -> list[Replica]:
        started.extend(Replica(settings) for _ in range(2))
        return started

    yield start
    for replica in started:
        replica.server.stop()


def test_no_request_is_lost_to_idle_pools_and_rolling_restarts(
    replicas: Callable[[dict[str, str]], list[Replica]],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    pair = replicas(KEEP_ALIVE)
    ports = [replica.server.port for replica in pair]
    with ExitStack() as stack:
        fronts = {"nginx busy": nginx_clients(stack, tmp_path, ports, BUSY)}
        fronts["haproxy busy"] = haproxy_clients(stack, tmp_path, ports, BUSY)
        idle = {}
        for gap in GAPS:
            pauses = (gap - JITTER, gap + JITTER)
            idle[f"nginx {gap} s"] = nginx_clients(stack, tmp_path, ports, pauses)
            idle[f"haproxy {gap} s"] = haproxy_clients(stack, tmp_path, ports, pauses)
        checked = [clients for name, clients in (fronts | idle).items() if name.startswith("haproxy")]
        for clients in fronts.values():
            stack.enter_context(clients.asking(2))
        for clients in idle.values():
            stack.enter_context(clients.asking(CLIENTS))
        for _ in range(RESTARTS):
            for replica in pair:
                replica.restart()
                eventually(lambda: all(front.all_are_up() for front in checked), "HAProxy uses both again")
        eventually(lambda: enough(idle.values()), "enough are asked", MOST_SECONDS)
    answers = {name: dict(clients.answers) for name, clients in (fronts | idle).items()}
    record_property("measured", answers)
    assert {status for counts in answers.values() for status in counts} == {"200"}, answers


def nginx_clients(
    stack: ExitStack,
    folder: Path,
    ports: list[int],
    pauses: tuple[float, float],
    pool_seconds: int = POOL_SECONDS,
) -> Clients:
    """Start an nginx, and return clients of it."""
    own = Path(mkdtemp(dir=folder))
    port = stack.enter_context(nginx(own, ports, pool_seconds))
    return Clients(port, "/heart/predict", BODY, pauses, own / "certificate.pem")


def haproxy_clients(
    stack: ExitStack,
    folder: Path,
    ports: list[int],
    pauses: tuple[float, float],
    pool_seconds: int = POOL_SECONDS,
) -> Clients:
    """Start an HAProxy, and return clients of it."""
    port = stack.enter_context(haproxy(Path(mkdtemp(dir=folder)), ports, pool_seconds))
    return Clients(port, "/predict", BODY, pauses)


def enough(idle: Iterable[Clients]) -> bool:
    asked = [clients.asked for clients in idle]
    return sum(asked) >= REQUESTS and min(asked) >= ROUNDS * CLIENTS


LINK_SECONDS = 0.05
OUTLIVED_SECONDS = 5
"""How long pools keep connections here, which is longer than a keep-alive of one second."""

RACE = (0.92, 0.98)
"""Seconds between requests, each of which then leaves the proxy before it knows that the server closes, and
gets to the server after that."""


def test_requests_are_lost_where_a_pool_outlives_the_keep_alive_and_not_by_default(tmp_path: Path) -> None:
    with ExitStack() as stack:
        short = clients_over_a_slow_link(stack, tmp_path, {"KEEP_ALIVE_SECONDS": "1"})
        default = clients_over_a_slow_link(stack, tmp_path, {})
        eventually(
            lambda: all(clients.lost for clients in short) and all(clients.asked > 8 for clients in default),
            "requests are lost to a short keep-alive, and the same number is asked by default",
        )
    assert [set(clients.answers) for clients in default] == [{"200"}, {"200"}]


def clients_over_a_slow_link(stack: ExitStack, folder: Path, settings: dict[str, str]) -> list[Clients]:
    """Start a server behind each proxy, and ask through it until the stack ends."""
    server = Server(settings | {"LOG_LEVEL": "warning"}).wait_until_ready()
    stack.callback(server.stop)
    ports = [stack.enter_context(slow_link(server.port, LINK_SECONDS))]
    found = [
        start(stack, folder, ports, RACE, OUTLIVED_SECONDS) for start in (nginx_clients, haproxy_clients)
    ]
    for clients in found:
        stack.enter_context(clients.asking(1))
    return found
