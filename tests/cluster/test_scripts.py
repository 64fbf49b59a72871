"""deploy.sh and cleanup.sh: on every kind of cluster they know, and where something is missing."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from serving.app import project_version
from tests.cluster.conftest import NAMESPACE, RELEASE, URL, kubectl, pods
from tests.harness import PROJECT, run

DEPLOY = PROJECT / "scripts" / "deploy.sh"
CLEANUP = PROJECT / "scripts" / "cleanup.sh"
STAND_IN = PROJECT / "tests" / "cluster" / "stand_in.sh"
NEEDED = set("bash dirname sed tr git kubectl helm buildah ctr mktemp rm cat sleep".split())  # noqa: SIM905
FOLDERS = ("scripts", "monitoring", "compose", "tests/cluster")
SHELL_SCRIPTS = sorted(
    [*(file for folder in FOLDERS for file in PROJECT.glob(f"{folder}/*.sh")), PROJECT / ".ci" / "run"]
)


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    """A folder for commands, which PATH names first or alone."""
    folder = tmp_path / "commands"
    folder.mkdir()
    return folder


def context(name: str, folder: Path) -> str:
    """Return a kubeconfig that reaches the test cluster by a context of another name."""
    config = json.loads(Path(os.environ["KUBECONFIG"]).read_text(encoding="utf-8"))
    config["contexts"][0]["name"] = config["current-context"] = name
    file = folder / "kubeconfig"
    file.write_text(json.dumps(config), encoding="utf-8")
    return str(file)


def image_labels() -> dict[str, Any]:
    found = json.loads(run("buildah", "inspect", "--type=image", "heart-disease-api:latest").stdout)
    labels: dict[str, Any] = found["OCIv1"]["config"]["Labels"]
    return labels


def test_shell_scripts_and_workflows_are_linted() -> None:
    run("shellcheck", *SHELL_SCRIPTS)
    run("actionlint")


def test_deploy_and_cleanup_are_safe_to_repeat(core: client.CoreV1Api) -> None:
    for _ in range(2):
        said = run(DEPLOY).stdout
        assert '"label":"no_disease"' in said
        assert f"{URL}/docs" in said
    for _ in range(2):
        run(CLEANUP)
        assert not pods(core)
    kubectl("create", "configmap", "not-ours", "--namespace", NAMESPACE)
    try:
        assert "is kept, because it holds: configmap/not-ours" in run(CLEANUP, "--purge").stdout
    finally:
        kubectl("delete", "configmap", "not-ours", "--namespace", NAMESPACE)
    run(CLEANUP, "--purge")
    assert NAMESPACE not in {namespace.metadata.name for namespace in core.list_namespace().items}


def test_a_dry_run_changes_nothing(core: client.CoreV1Api) -> None:
    before = kubectl("get", "namespaces", "--output", "name")
    said = run(DEPLOY, "--dry-run").stdout
    assert "would run: helm upgrade --install" in said
    assert kubectl("get", "namespaces", "--output", "name") == before


def test_deploying_on_minikube_with_helm_4(core: client.CoreV1Api, commands: Path) -> None:
    """By the stand-in for minikube, whose build names the image's version and revision; Helm is real."""
    (commands / "minikube").symlink_to(STAND_IN)
    (commands / "helm").symlink_to(shutil.which("helm4") or "")
    path = f"{commands}:{os.environ['PATH']}"
    said = run(DEPLOY, settings={"PATH": path, "KUBECONFIG": context("minikube", commands)}).stdout
    assert '"label":"no_disease"' in said
    labels = image_labels()
    assert labels["org.opencontainers.image.version"] == project_version()
    revision = run("git", "describe", "--always", "--dirty").stdout.strip()
    assert labels["org.opencontainers.image.revision"] == revision


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("kind-heart", "image.tar --name heart"),
        ("k3d-heart", "image.tar --cluster heart"),
        ("elsewhere", "images import"),
    ],
)
def test_the_image_goes_to_whatever_the_context_is(name: str, line: str, commands: Path) -> None:
    for command in ("kind", "k3d"):
        (commands / command).symlink_to(STAND_IN)
    path = f"{commands}:{os.environ['PATH']}"
    assert (
        line
        in run(DEPLOY, "--dry-run", settings={"PATH": path, "KUBECONFIG": context(name, commands)}).stdout
    )


@pytest.mark.parametrize(
    ("absent", "name", "sentence"),
    [
        ({"kubectl"}, "heart", "kubectl is needed and not installed"),
        ({"helm"}, "heart", "helm is needed and not installed"),
        ({"minikube"}, "minikube", "minikube is needed and not installed"),
        ({"kind"}, "kind-heart", "kind is needed and not installed"),
        ({"docker", "buildah"}, "heart", "start Docker, or use --no-build"),
        ({"ctr"}, "heart", "ctr is needed and not installed"),
    ],
)
def test_what_is_missing_is_reported(absent: set[str], name: str, sentence: str, commands: Path) -> None:
    for command in NEEDED - absent:
        (commands / command).symlink_to(shutil.which(command) or "")
    result = run(
        DEPLOY,
        "--dry-run",
        check=False,
        settings={"PATH": str(commands), "KUBECONFIG": context(name, commands)},
    )
    assert result.returncode == 1
    assert sentence in result.stderr


def test_a_missing_context_and_a_silent_cluster_are_reported(tmp_path: Path) -> None:
    empty = run(DEPLOY, check=False, settings={"KUBECONFIG": str(tmp_path / "none")})
    assert "kubectl has no current context; start a cluster" in empty.stderr
    config = Path(context("heart", tmp_path))
    config.write_text(config.read_text(encoding="utf-8").replace(":6443", ":6444"), encoding="utf-8")
    silent = run(DEPLOY, check=False, settings={"KUBECONFIG": str(config)})
    assert "the cluster of context 'heart' does not answer" in silent.stderr


def test_a_broken_release_is_rolled_back_and_its_cause_is_reported(core: client.CoreV1Api) -> None:
    options = ["--no-build", "--", "--set", "model.version=v9", "--timeout", "20s"]
    result = run(DEPLOY, *options, check=False)
    assert result.returncode == 1
    assert "v9" in result.stderr
    assert f"release {RELEASE}" in result.stderr
