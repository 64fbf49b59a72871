"""The fraud stack with the source of the checkout: a change restarts the server."""

from pathlib import Path

import requests

from tests.compose.conftest import Stack
from tests.harness import copy_project, eventually, run


def test_a_change_of_the_source_is_served(tmp_path: Path) -> None:
    copy = copy_project(tmp_path)
    stack = Stack("fraud")
    folder = copy / "compose" / "fraud"
    files = [f"--file={folder / name}" for name in ("docker-compose.yml", "docker-compose.dev.yml")]
    compose = ["docker", "compose", f"--project-directory={folder}", *files]
    run(*compose, "up", "--detach", "--wait", "model-api", settings=stack.environment)
    try:
        assert requests.get(f"{stack.url}/livez", timeout=5).json() == {"status": "alive"}
        source = copy / "serving" / "http" / "routes" / "health.py"
        changed = source.read_text(encoding="utf-8").replace('"alive"', '"changed"')
        source.write_text(changed, encoding="utf-8")
        eventually(lambda: status(stack) == "changed", "the change is served", 60)
    finally:
        run(*compose, "down", "--volumes", "--timeout", "5", settings=stack.environment)


def status(stack: Stack) -> str:
    try:
        return str(requests.get(f"{stack.url}/livez", timeout=3).json()["status"])
    except requests.RequestException:
        return ""
