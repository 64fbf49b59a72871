"""The stacks of compose/ on a real Docker engine, each as its own project on free ports."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import requests

from tests.harness import PROJECT, export, free_port, run
from tests.systems import System

COMPOSE = PROJECT / "compose"
STACKS = {"iris": "ml-api", "churn": "app", "fraud": "model-api", "heart": "api"}
"""Each stack, and the name of its API's service."""

PORTS = ("API_PORT", "PROMETHEUS_PORT", "ALERTMANAGER_PORT", "GRAFANA_PORT", "MLFLOW_PORT")


class Stack:
    """A stack, and the addresses of its services."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.api_service = STACKS.get(name, "api")
        self.services = [self.api_service, "prometheus", "alertmanager"]  # Grafana's image is not available
        self.project = f"test-{name}"
        ports = {variable: str(free_port()) for variable in PORTS}
        self.environment = ports | {"COMPOSE_PROJECT_NAME": self.project}
        self.url = f"http://127.0.0.1:{ports['API_PORT']}"
        self.prometheus = f"http://127.0.0.1:{ports['PROMETHEUS_PORT']}"
        self.alertmanager = f"http://127.0.0.1:{ports['ALERTMANAGER_PORT']}"

    def compose(self, *arguments: str, settings: Mapping[str, str] | None = None) -> str:
        folder = f"--project-directory={COMPOSE / self.name}"
        both = self.environment | dict(settings or {})
        return run("docker", "compose", folder, *arguments, settings=both).stdout

    def up(self) -> None:
        self.compose("up", "--detach", "--wait", *self.services)

    def container(self, service: str) -> dict[str, Any]:
        identity = self.compose("ps", "--all", "--quiet", service).strip()
        (found,) = json.loads(run("docker", "inspect", identity).stdout)
        inspected: dict[str, Any] = found
        return inspected

    def query(self, expression: str) -> list[dict[str, Any]]:
        answer = requests.get(
            f"{self.prometheus}/api/v1/query", params={"query": expression}, timeout=5
        ).json()
        assert answer["status"] == "success", answer
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def value(self, expression: str) -> float:
        (found,) = self.query(expression)
        return float(found["value"][1])

    def answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/readyz", timeout=3).ok
        except requests.RequestException:
            return False

    def left(self, kind: str) -> str:
        """Return what Docker still has of the project: containers, networks or volumes."""
        label = f"label=com.docker.compose.project={self.project}"
        everything = ["--all"] if kind == "container" else []
        return run("docker", kind, "ls", *everything, "--quiet", "--filter", label).stdout


@pytest.fixture(scope="session", autouse=True)
def docker() -> None:
    """Use the engine that `make test-compose` has started."""
    environment = PROJECT / ".cluster" / "docker-environment"
    assert environment.exists(), "no Docker engine: use `make test-compose`"
    export(environment)


@pytest.fixture(scope="module", params=STACKS)
def stack(request: pytest.FixtureRequest) -> Iterator[Stack]:
    stack = Stack(request.param)
    stack.up()
    yield stack
    stack.compose("down", "--volumes", "--timeout", "5")


@pytest.fixture(scope="module")
def served(stack: Stack) -> System:
    """The model that the stack serves."""
    return System({"heart": "heart-disease"}.get(stack.name, stack.name))
