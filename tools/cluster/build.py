"""Builds the pinned Go tools into the cache, once for each state of their go.mod and go.sum."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from tools.cluster.places import CACHE, KUBERNETES_VERSION, PROJECT, ClusterError

MODULES = ("pause", "kubernetes", "etcd", "containerd", "helm", "kubeconform", "coredns", "metrics-server")
HELM = "helm.sh/helm/v3/pkg/chartutil"
STAMPED = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")


def build_tools() -> Path:
    """Return the folder with every binary, building what the cache lacks."""
    together = CACHE / "bin"
    together.mkdir(parents=True, exist_ok=True)
    for module in MODULES:
        for binary in _build(module).iterdir():
            link = together / binary.name
            link.unlink(missing_ok=True)
            link.symlink_to(binary)
    return together


def _build(module: str) -> Path:
    source = PROJECT / "tools" / module
    flags = _linker_flags(module)
    parts = [path.read_bytes() for path in sorted(source.iterdir())]
    content = b"".join([*parts, flags.encode()])
    target = CACHE / "tools" / f"{module}-{hashlib.sha256(content).hexdigest()[:16]}"
    if target.is_dir():
        return target
    if not shutil.which("go"):
        raise ClusterError("Go is needed to build the cluster's programs, and is not installed")
    print(f"  building {module} (once) ...", flush=True)
    unfinished = target.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    settings = {"GOBIN": str(unfinished), "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false -mod=readonly"}
    target_package = "." if (source / "main.go").exists() else "tool"
    command = ["go", "install", "-p", "2", "-ldflags", flags, target_package]
    subprocess.run(command, cwd=source, env=os.environ | settings, check=True)
    if module == "etcd":  # its module calls the program "server"
        (unfinished / "server").rename(unfinished / "etcd")
    unfinished.rename(target)
    return target


def _linker_flags(module: str) -> str:
    """Return flags that stamp versions; charts and API would see Kubernetes 1.20 and v0.0.0 otherwise."""
    major, minor, _ = KUBERNETES_VERSION.removeprefix("v").split(".")
    version = {
        "gitVersion": KUBERNETES_VERSION,
        "gitMajor": major,
        "gitMinor": minor,
        "gitTreeState": "clean",
    }
    stamps = {
        "kubernetes": [f"{package}.{key}={value}" for package in STAMPED for key, value in version.items()],
        "helm": [f"{HELM}.k8sVersionMajor={major}", f"{HELM}.k8sVersionMinor={minor}"],
    }
    return " ".join(["-s -w", *(f"-X {stamp}" for stamp in stamps.get(module, []))])
