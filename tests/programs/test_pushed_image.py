"""deploy.sh --push, with a real buildah and Debian's docker-registry; helm is a stand-in, without nodes."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.harness import PROJECT
from tests.programs import canned_kubernetes
from tests.programs.deploying import deploy, make_commands, write_program

NODE = ("node1", "arm64", "containerd://2.1.0", "v1.33.0")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A project of the scripts, whose image holds a file."""
    folder = tmp_path / "project"
    shutil.copytree(PROJECT / "scripts", folder / "scripts")
    shutil.copy(PROJECT / "pyproject.toml", folder)
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY pyproject.toml /\n", encoding="utf-8")
    return folder


def manifest(registry: str, name: str, reference: str) -> tuple[str, dict[str, Any]]:
    """Return an image's digest and configuration, from the registry."""
    kinds = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
    url = f"http://{registry}/v2/{name}"
    found = requests.get(f"{url}/manifests/{reference}", headers={"Accept": kinds}, timeout=10)
    found.raise_for_status()
    config = requests.get(f"{url}/blobs/{found.json()['config']['digest']}", timeout=10).json()
    return found.headers["Docker-Content-Digest"], config


def test_nodes_are_given_exactly_what_was_pushed(registry: str, checkout: Path, tmp_path: Path) -> None:
    """A stand-in for helm writes down its arguments; a tag that is pushed again has another digest."""
    commands = make_commands(tmp_path, "buildah", "curl", "tail")
    (commands / "helm").unlink()
    write_program(commands / "helm", f'#!/bin/sh\ncase $1 in upgrade) echo "$@" >{tmp_path}/helm ;; esac\n')
    storage = f'[storage]\ndriver = "vfs"\ngraphroot = "{tmp_path}/storage"\nrunroot = "{tmp_path}/run"\n'
    (tmp_path / "storage.conf").write_text(storage, encoding="utf-8")
    digests = set()
    with canned_kubernetes.serve(canned_kubernetes.documents([NODE])) as address:
        canned_kubernetes.write_kubeconfig(tmp_path / "kubeconfig", address, "remote")
        for content in ("first", "second"):
            (checkout / "pyproject.toml").write_text(f'version = "1.2.3"\n# {content}\n', encoding="utf-8")
            result = deploy(
                commands,
                "--push",
                f"{registry}/team/x",
                project=checkout,
                CONTAINERS_STORAGE_CONF=str(tmp_path / "storage.conf"),
                BUILDAH_ISOLATION="chroot",
                GIT_CEILING_DIRECTORIES=str(tmp_path),
            )
            # the Service is not there: everything before that went well
            assert "the cluster does not tell its Service" in result.stderr, result.stderr
            digest, config = manifest(registry, "team/x/heart-disease-api", "1.2.3-unknown")
            assert config["architecture"] == "arm64"
            given = (tmp_path / "helm").read_text(encoding="utf-8")
            assert f"image.registry={registry}/team/x " in given
            assert f"image.digest={digest} " in given
            assert "image.tag=1.2.3-unknown\n" in given
            digests.add(digest)
    assert len(digests) == 2
