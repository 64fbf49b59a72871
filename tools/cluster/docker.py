"""A Docker engine with Compose for tests/compose: the machine's own, or else Debian's dockerd."""

import os
import subprocess
import tempfile
from pathlib import Path

from tools.cluster import images, processes
from tools.cluster.places import DOCKER_ENVIRONMENT, PROJECT, STATE, ClusterError

FOLDER = STATE / "docker"
BUILT = {
    "heart-disease-api:latest": "Dockerfile",
    "heart-disease-api-mlflow:3.17.2": "compose/churn/mlflow/Dockerfile",
}


def answers() -> bool:
    """Tell whether the machine has an engine with Compose of its own."""
    commands = (["docker", "version"], ["docker", "compose", "version"])
    return all(
        subprocess.run(command, check=False, capture_output=True).returncode == 0 for command in commands
    )


def use_own() -> None:
    """Build our images with the machine's engine; it pulls the others where it must."""
    for name, dockerfile in BUILT.items():
        command = ["docker", "build", "--quiet", f"--file={dockerfile}", f"--tag={name}", "."]
        if subprocess.run(command, cwd=PROJECT, check=False, stdout=subprocess.DEVNULL).returncode != 0:
            raise ClusterError(f"docker build of {name} failed")
    _write_environment({})


def start(binaries: Path) -> None:
    """Start an engine, and give it the images that the stacks name, ours built from the project."""
    config = FOLDER / "config"
    plugin = config / "cli-plugins" / "docker-compose"
    plugin.parent.mkdir(parents=True, exist_ok=True)
    plugin.unlink(missing_ok=True)
    plugin.symlink_to((binaries / "docker-compose").resolve())
    settings = {"DOCKER_HOST": _start(), "DOCKER_CONFIG": str(config)}
    for name in ("docker.io/prom/prometheus:v3.15.0", "docker.io/prom/alertmanager:v0.28.1"):
        _load(images.binary_archive(name, binaries), settings)
    for name, dockerfile in BUILT.items():
        images.build_image(name, PROJECT, dockerfile)
        with tempfile.TemporaryDirectory() as folder:
            _load(images.save_image(name, Path(folder)), settings)
    _write_environment(settings)


def remove_bridge() -> None:
    """Remove what an engine of ours leaves in the machine's network when it stops."""
    if FOLDER.exists():
        subprocess.run(["ip", "link", "delete", "docker0"], check=False, capture_output=True)


def _write_environment(settings: dict[str, str]) -> None:
    DOCKER_ENVIRONMENT.parent.mkdir(parents=True, exist_ok=True)
    lines = [f'export {name}="{value}"\n' for name, value in settings.items()]
    DOCKER_ENVIRONMENT.write_text("".join(lines), encoding="utf-8")


def _start() -> str:
    host = f"unix://{FOLDER / 'docker.sock'}"
    FOLDER.mkdir(parents=True, exist_ok=True)
    command = [  # the machine's firewall stays as it is: ports go through docker-proxy, and nothing goes out
        "dockerd",
        "--iptables=false",
        "--ip6tables=false",
        "--ip-masq=false",
        "--ip-forward=false",
        f"--host={host}",
        f"--data-root={FOLDER / 'data'}",
        f"--exec-root={FOLDER / 'exec'}",
        f"--pidfile={FOLDER / 'dockerd.pid'}",
        "--group=root",
    ]
    processes.start("dockerd", command)
    processes.wait_for(["env", f"DOCKER_HOST={host}", "docker", "version"], "dockerd")
    return host


def _load(archive: Path, settings: dict[str, str]) -> None:
    result = subprocess.run(
        ["docker", "load", "--quiet", f"--input={archive}"],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | settings,
    )
    if result.returncode != 0:
        raise ClusterError(f"docker load of {archive} failed: {result.stderr.strip()[-500:]}")
