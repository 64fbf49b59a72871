"""Builds the pinned Go tools into the cache, once for each state of their go.mod and go.sum."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from tools.cluster.places import CACHE, KUBERNETES_VERSION, PROJECT, ClusterError

MODULES = (
    "pause",
    "kubernetes",
    "etcd",
    "containerd",
    "kube-router",
    "coredns",
    "metrics-server",
    "local-path-provisioner",
    "prometheus",
    "prometheus-operator",
    "alertmanager",
    "blackbox-exporter",
    "helm",
    "helm4",
    "kubeconform",
    "kube-score",
    "actionlint",
    "docker-compose",
)
RENAMED = {
    "prometheus-operator": ("operator", "prometheus-operator"),
    "etcd": ("server", "etcd"),
    "helm4": ("helm", "helm4"),
    "docker-compose": ("cmd", "docker-compose"),
}  # by module: the package's name, ours
TAGS = {"prometheus": "remove_all_sd,enable_kubernetes_sd"}  # 20 clouds' libraries take minutes to compile
GATEWAY, OPERATOR = "sigs.k8s.io/gateway-api", "github.com/prometheus-operator/prometheus-operator"
OPERATOR_FILE = "example/prometheus-operator-crd/monitoring.coreos.com_{}.yaml"
CUSTOM_RESOURCES = (
    (GATEWAY, "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"),
    (OPERATOR, OPERATOR_FILE.format("servicemonitors")),
    (OPERATOR, OPERATOR_FILE.format("probes")),
    (OPERATOR, OPERATOR_FILE.format("prometheusrules")),
)
# what the operator itself needs besides: big, and for its test alone
OPERATED_RESOURCES = (
    (OPERATOR, OPERATOR_FILE.format("prometheuses")),
    (OPERATOR, OPERATOR_FILE.format("podmonitors")),
)
HELM = "helm.sh/helm/v3/pkg/chartutil"
PROMETHEUS = "github.com/prometheus/common/version"
STAMPED = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")


def build_tools() -> Path:
    """Return the folder with every binary, building what the cache lacks."""
    together = CACHE / "bin"
    together.mkdir(parents=True, exist_ok=True)
    for module in MODULES:
        for binary in _build(module).iterdir():
            link = together / binary.name
            if not link.is_symlink() or link.readlink() != binary:  # what is right may be in use
                link.unlink(missing_ok=True)
                link.symlink_to(binary)
    return together


def _build(module: str) -> Path:
    source = PROJECT / "tools" / module
    flags = _linker_flags(module)
    parts = [path.read_bytes() for path in sorted(source.iterdir())]
    tags = TAGS.get(module, "")
    content = b"".join([*parts, flags.encode(), tags.encode()])
    target = CACHE / "tools" / f"{module}-{hashlib.sha256(content).hexdigest()[:16]}"
    if target.is_dir():
        return target
    print(f"  building {module} (once) ...", flush=True)
    unfinished = target.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    settings = {"GOBIN": str(unfinished), "CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false -mod=readonly"}
    target_package = "." if (source / "main.go").exists() else "tool"
    command = ["go", "install", "-p", "2", "-tags", tags, "-ldflags", flags, target_package]
    _go(command, source, settings)
    if module in RENAMED:
        before, after = RENAMED[module]
        (unfinished / before).rename(unfinished / after)
    unfinished.rename(target)
    return target


def custom_resources(resources: tuple[tuple[str, str], ...] = CUSTOM_RESOURCES) -> list[Path]:
    """Return files with the definitions of kinds that the chart knows and Kubernetes does not."""
    source = PROJECT / "tools" / "crds"
    settings = {"GOFLAGS": "-mod=readonly"}
    _go(["go", "mod", "download", *{module for module, _ in resources}], source, settings)
    return [
        Path(_go(["go", "list", "-m", "-f", "{{.Dir}}", module], source, settings)) / file
        for module, file in resources
    ]


def _go(command: list[str], folder: Path, settings: dict[str, str]) -> str:
    if not shutil.which("go"):
        raise ClusterError("Go is needed to build the cluster's programs, and is not installed")
    result = subprocess.run(
        command, cwd=folder, env=os.environ | settings, check=False, capture_output=True, text=True
    )
    if result.returncode != 0:
        raise ClusterError(f"{' '.join(command[:3])} in {folder} failed: {result.stderr.strip()[-2000:]}")
    return result.stdout.strip()


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
        "prometheus": [f"{PROMETHEUS}.Version=3.15.0"],
        "alertmanager": [f"{PROMETHEUS}.Version=0.28.1"],
        "helm": [f"{HELM}.k8sVersionMajor={major}", f"{HELM}.k8sVersionMinor={minor}"],
    }
    return " ".join(["-s -w", *(f"-X {stamp}" for stamp in stamps.get(module, []))])
