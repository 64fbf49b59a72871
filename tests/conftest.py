import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from bundle.declaration import Declaration, load_declaration
from serving.inference.catalogue import ServedModel, load_model
from tests.harness import HEART, TEST_LONG, Server
from tests.systems import OWN_MODELS, PAGES, SYSTEMS, System

ALLOWED_SKIPS = (Path(__file__).parent / "allowed_skips.txt").read_text(encoding="utf-8").splitlines()

skipped: list[str] = []

# no test has a deadline: how long it takes depends on how busy the machine is
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped and isinstance(report.longrepr, tuple):
        skipped.append(f"{report.nodeid}: {report.longrepr[2].removeprefix('Skipped: ')}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI a skip is a failure unless its reason is on the written list."""
    unlisted = [skip for skip in skipped if not any(reason and reason in skip for reason in ALLOWED_SKIPS)]
    if os.environ.get("CI") == "true" and unlisted:
        print("\nskipped, and not listed in tests/allowed_skips.txt:", *unlisted, sep="\n  ")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what needs a system for each of the four, or for those whose mark it has."""
    if "system" in metafunc.fixturenames:
        marked = [name for name in PAGES if metafunc.definition.get_closest_marker(name.partition("-")[0])]
        if not marked and metafunc.definition.get_closest_marker("engines") and not TEST_LONG:
            marked = ["heart-disease", "fraud"]
        names = [] if OWN_MODELS and marked else marked or SYSTEMS
        metafunc.parametrize("system", names, indirect=True, scope="session")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With models that are not ours only what runs for any system is of interest."""
    if OWN_MODELS:
        chosen = [item for item in items if _system_of(item) in SYSTEMS]
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = chosen


def _system_of(item: pytest.Item) -> object:
    return item.callspec.params.get("system") if hasattr(item, "callspec") else None


@pytest.fixture(scope="session")
def system(request: pytest.FixtureRequest) -> System:
    return System(request.param)


@pytest.fixture(scope="session")
def declaration() -> Declaration:
    return load_declaration(HEART)


@pytest.fixture(scope="session")
def heart() -> ServedModel:
    return load_model(HEART)


def settings_of(system: System) -> dict[str, str]:
    return {"MODEL": system.name} | ({"MODELS_DIR": str(OWN_MODELS)} if OWN_MODELS else {})


@pytest.fixture
def start(system: System) -> Iterator[Callable[..., Server]]:
    """Start servers of the system with these settings; all are stopped at the end."""
    servers: list[Server] = []

    def start_server(command: list[str] | None = None, **settings: str) -> Server:
        servers.append(Server(settings_of(system) | settings, command))
        return servers[-1].wait_until_ready()

    yield start_server
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def server(system: System) -> Iterator[Server]:
    """A server with default settings and a short body timeout, shared by tests that leave it as it is."""
    settings = {"BODY_TIMEOUT_SECONDS": "2", "LOG_LEVEL": "debug"}
    server = Server(settings_of(system) | settings).wait_until_ready()
    yield server
    assert server.stop() == 0
    tracebacks = [line for line in server.lines if "Traceback" in line or '"level":"error"' in line]
    assert not tracebacks
