"""The scripts with the tools of others: Kernighan's awk, which macOS has, and busybox in place of GNU's."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.prometheus import PROGRAMS
from tests.harness import PROJECT, Server, run
from tests.stand_ins import MONITORING, StandIns

TOOLS = (
    *("basename", "base64", "cat", "cp", "dirname", "grep", "head", "mktemp", "od", "rm", "sed", "sleep"),
    *("sort", "tail", "tr", "wc"),
)


@pytest.fixture
def tools(tmp_path: Path) -> str:
    """A PATH that names these tools first."""
    folder = tmp_path / "tools"
    folder.mkdir()
    busybox, awk = shutil.which("busybox"), shutil.which("original-awk")
    assert busybox, "busybox is missing: apt-get install busybox-static"
    assert awk, "the awk of macOS is missing: apt-get install original-awk"
    for tool in TOOLS:
        (folder / tool).symlink_to(busybox)
    (folder / "awk").symlink_to(awk)
    return f"{folder}:{os.environ['PATH']}"


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server({"LOG_LEVEL": "error"}).wait_until_ready()
    yield running
    running.stop()


def test_traffic_is_counted(tools: str, server: Server) -> None:
    options = ["--url", server.url, "--requests", "60", "--errors", "10"]
    said = run(MONITORING / "test-metrics.sh", *options, settings={"PATH": tools}).stdout
    assert "  status 200: 54\n" in said
    assert "counters: 6 with status 422, as sent" in said


def test_the_ports_of_a_stack_are_found(tools: str, tmp_path: Path) -> None:
    config = """\
services:
  app:
    ports:
      - mode: ingress
        host_ip: 127.0.0.1
        published: "1"
volumes: {}
"""
    (tmp_path / "config").write_text(config, encoding="utf-8")
    answers = {
        "docker compose * config --services": "echo app",
        "docker compose config": f"cat {tmp_path}/config",
    }
    stack = StandIns(tmp_path / "stand-ins", answers)
    path = {"PATH": f"{tmp_path}/stand-ins/bin:{tools}"}
    result = stack.run(PROJECT / "compose" / "up.sh", "iris", variables=path)
    assert result.stdout == "app: http://127.0.0.1:1\n", result.stderr


def rendered(folder: Path, path: str) -> str:
    """Return the manifests of monitoring with every edit that the script makes, as kubectl renders them."""
    cluster = StandIns(folder, {"kubectl kustomize *": f'exec {PROGRAMS / "kubectl"} "$@"'})
    options = ["--without-grafana", "--expose-alertmanager", "--public-url", "https://heart.example.org"]
    command: list[str | Path] = [MONITORING / "deploy-monitoring.sh", "--dry-run", *options]
    result = cluster.run(*command, variables={"PATH": f"{folder}/bin:{path}"})
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_monitoring_is_rendered_as_with_the_tools_of_gnu(tools: str, tmp_path: Path) -> None:
    said = rendered(tmp_path / "others", tools)
    assert said == rendered(tmp_path / "gnu", os.environ["PATH"])
    assert "nodePort: 30093" in said
    assert "public_url: https://heart.example.org" in said
