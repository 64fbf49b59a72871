"""The stacks of compose/ on a real Docker engine, each as a project of its own on free ports."""

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.harness import PROJECT, free_port
from tests.systems import System

COMPOSE = PROJECT / "compose"
STACKS = {"iris": "ml-api", "churn": "app", "fraud": "model-api", "heart": "api"}
"""Each stack, and the name of its API's service."""

PORTS = ("API_PORT", "PROMETHEUS_PORT", "ALERTMANAGER_PORT", "GRAFANA_PORT", "MLFLOW_PORT")


def run(
    *command: str | Path, check: bool = True, settings: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command in the project's folder, with these variables besides this process' own."""
    result = subprocess.run(
        [str(part) for part in command],
        cwd=PROJECT,
        env=os.environ | dict(settings or {}),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert not check or result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
    return result


class Stack:
    """A stack, and the addresses of its services."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.api_service = STACKS[name]
        self.services = [self.api_service, "prometheus", "alertmanager"]  # Grafana's image cannot be had
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
    exported = environment.read_text(encoding="utf-8")
    for name, value in re.findall(r'^export (\w+)="(.*)"$', exported, flags=re.MULTILINE):
        os.environ[name] = value


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
