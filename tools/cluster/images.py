"""Container images without a registry: static programs on nothing, a stand-in for Python's, and ours."""

import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tools.cluster.build import build_tools
from tools.cluster.network import inside
from tools.cluster.node import PAUSE_IMAGE
from tools.cluster.places import CACHE, NODES, STATE, ClusterError, Node

BASE_IMAGE = "docker.io/library/python:3.13-slim"
BASE_PACKAGES = "python3,python3-venv,ca-certificates"
CERTIFICATES = Path("etc/ssl/certs/ca-certificates.crt")
BUILDAH = {
    "STORAGE_DRIVER": "overlay",
    "BUILDAH_ISOLATION": "chroot",
    "PYTHON_IMAGE": "python:3.13-slim",  # the stand-in has the name, not the digest of the Dockerfile
}

BINARY_IMAGES = {  # the first program is the entry point
    PAUSE_IMAGE: ["pause"],
    "registry.k8s.io/coredns/coredns:v1.15.0": ["coredns"],
    "registry.k8s.io/metrics-server/metrics-server:v0.9.0": ["metrics-server"],
    "docker.io/rancher/local-path-provisioner:v0.0.30": ["local-path-provisioner"],
    "docker.io/prom/prometheus:v3.15.0": ["prometheus", "promtool"],
    "quay.io/prometheus-operator/prometheus-operator:v0.92.1": ["prometheus-operator"],
    "quay.io/prometheus-operator/prometheus-config-reloader:v0.92.1": ["prometheus-config-reloader"],
    "docker.io/prom/alertmanager:v0.28.1": ["alertmanager", "amtool"],
    "docker.io/prom/blackbox-exporter:v0.28.0": ["blackbox_exporter"],
}
BUSYBOX = "docker.io/library/busybox:stable"  # of Debian's static busybox, called sh


def load_binary_images(binaries: Path) -> None:
    """Give every node the images that are static programs, under their official names, once."""
    archives = [binary_archive(name, binaries) for name in BINARY_IMAGES]
    for archive in [*archives, _binary_archive(BUSYBOX, {"sh": Path("/bin/busybox")})]:
        loaded = STATE / "images" / archive.name
        if not loaded.exists():
            load_archive(archive, binaries)
            loaded.parent.mkdir(exist_ok=True)
            loaded.touch()


def load_image(name: str, nodes: Iterable[Node] = NODES) -> None:
    """Give nodes an image that buildah has built, under the name that Docker would give it."""
    with tempfile.TemporaryDirectory() as folder:
        load_archive(save_image(name, Path(folder)), build_tools(), nodes)


def save_image(name: str, folder: Path) -> Path:
    """Return a docker archive of an image that buildah has built."""
    archive = folder / "image.tar"
    _buildah("push", "--quiet", name, f"docker-archive:{archive}:docker.io/library/{name}")
    return archive


def binary_archive(name: str, binaries: Path) -> Path:
    """Return a docker archive of one of the images that are static programs."""
    return _binary_archive(name, {program: binaries / program for program in BINARY_IMAGES[name]})


def load_archive(archive: Path, binaries: Path, nodes: Iterable[Node] = NODES) -> None:
    for node in nodes:
        command = [str(binaries / "ctr"), f"--address={node.containerd}", "--namespace=k8s.io"]
        command += ["images", "import", "--digests=false", str(archive)]
        subprocess.run(inside(node, *command), check=True, capture_output=True)


def build_base_image() -> None:
    """Make the stand-in for python:3.13-slim from Debian's packages, once."""
    if subprocess.run(["buildah", "inspect", "--type=image", BASE_IMAGE], check=False, capture_output=True,
                      env=os.environ | BUILDAH).returncode == 0:  # fmt: skip
        return
    for program in ("debootstrap", "buildah"):
        if not shutil.which(program):
            raise ClusterError(f"{program} is needed to build images, and is not installed")
    root = CACHE / "images" / "debian"
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    print("  building the stand-in for python:3.13-slim (once) ...", flush=True)
    bootstrap = ["debootstrap", "--variant=minbase", f"--include={BASE_PACKAGES}", "trixie", str(root)]
    subprocess.run(bootstrap, check=True, stdout=subprocess.DEVNULL)
    shutil.copy("/" / CERTIFICATES, root / CERTIFICATES)
    container = _buildah("from", "scratch")
    _buildah("add", "--quiet", container, str(root), "/")
    _buildah("config", "--env", "LANG=C.UTF-8", "--cmd", "python3", container)
    _buildah("commit", "--quiet", container, BASE_IMAGE)
    _buildah("rm", container)
    shutil.rmtree(root)


def build_image(name: str, project: Path, dockerfile: str = "Dockerfile") -> None:
    """Build one of a project's Dockerfiles with buildah."""
    build_base_image()
    file = f"--file={project / dockerfile}"
    options = ["--pull-never", "--layers", "--build-arg=PYTHON_IMAGE", file]
    _buildah("build", *options, "--tag", name, str(project))


def _binary_archive(name: str, programs: dict[str, Path]) -> Path:
    """Return a docker archive of an image that is static programs on nothing, in /bin."""
    program = next(iter(programs))
    content = {f"bin/{binary}": path.read_bytes() for binary, path in programs.items()}
    layer = _tar(content | {"tmp/": b"", "etc/": b"", f"{program}/": b""})  # the last: where volumes go
    digest = hashlib.sha256(layer).hexdigest()
    archive = CACHE / "images" / f"{program}-{digest[:16]}.tar"
    if archive.exists():
        return archive
    archive.parent.mkdir(parents=True, exist_ok=True)
    config = {
        "architecture": "amd64" if os.uname().machine == "x86_64" else "arm64",
        "os": "linux",
        "config": {"Entrypoint": [f"/bin/{program}"], "Env": ["PATH=/bin"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    members = {"layer.tar": layer, "config.json": json.dumps(config).encode()}
    archive.write_bytes(_tar(members | {"manifest.json": json.dumps(manifest).encode()}))
    return archive


def _tar(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in members.items():
            entry = tarfile.TarInfo(name.rstrip("/"))
            entry.mode = 0o755
            if name.endswith("/"):
                entry.type, entry.mode = tarfile.DIRTYPE, 0o1777
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _buildah(*arguments: str) -> str:
    result = subprocess.run(
        ["buildah", *arguments], env=os.environ | BUILDAH, capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        raise ClusterError(f"buildah {arguments[0]} failed: {result.stderr.strip()[-2000:]}")
    return result.stdout.strip()
