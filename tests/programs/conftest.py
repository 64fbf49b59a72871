"""Real programs without a cluster: Prometheus, promtool, helm, kube-score and PostgreSQL."""

import os
from collections.abc import Iterator

import pytest

from tests.api_server import ApiServer
from tests.programs.dry_runs import DryRuns
from tests.registry import open_registry
from tests.systems import OWN_MODELS
from tools.cluster.places import CACHE

collect_ignore = [] if OWN_MODELS else ["test_tables.py"]

PROGRAMS = CACHE / "bin"


@pytest.fixture(scope="session", autouse=True)
def programs() -> None:
    """Use the programs that `make test-programs` has built."""
    assert (PROGRAMS / "promtool").exists(), "the programs are missing: use `make test-programs`"
    os.environ["PATH"] = f"{PROGRAMS}:{os.environ['PATH']}"


@pytest.fixture(scope="session")
def cluster(programs: None) -> Iterator[ApiServer]:
    with ApiServer() as running:
        yield running


@pytest.fixture(scope="session")
def dry_runs(cluster: ApiServer) -> DryRuns:
    return DryRuns(cluster)


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The host and port of an image registry."""
    with open_registry(tmp_path_factory.mktemp("registry")) as host:
        yield host


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests measured."""
    for report in (
        found for outcome in ("passed", "failed") for found in terminalreporter.getreports(outcome)
    ):
        for name, value in report.user_properties:
            if name == "measured":
                terminalreporter.write_line(str(value))
