"""Command line: `python -m tools.cluster up | down | build | image NAME`."""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tools.cluster import certificates, control_plane, images, network, node, processes
from tools.cluster.build import build_tools
from tools.cluster.places import ENVIRONMENT, KUBECONFIG, NODES, PROJECT, STATE, ClusterError, Node

Result = TypeVar("Result")

MANIFESTS = Path(__file__).parent / "manifests"
PROGRAMS = {
    "ip": "iproute2",
    "nft": "nftables",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "runc": "runc",
    "openssl": "openssl",
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.cluster", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb in ("up", "down", "build"):
        verbs.add_parser(verb)
    image = verbs.add_parser("image", help="build an image and give it to every node")
    image.add_argument("name")
    image.add_argument("--project", type=Path, default=PROJECT, help="folder with the Dockerfile")
    arguments = parser.parse_args()
    try:
        if arguments.verb == "image":
            images.build_image(arguments.name, arguments.project)
            images.load_image(arguments.name)
        else:
            {"up": up, "down": down, "build": build_tools}[arguments.verb]()
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def up() -> None:
    """Start what is not running; safe to repeat."""
    check_machine()
    binaries = step("programs", build_tools)
    step("network", network.up)
    step("certificates", certificates.make)
    step("control plane", lambda: control_plane.up(binaries))
    for one in NODES:
        step(f"containerd on {one.name}", lambda one=one: node.start_containerd(one, binaries))  # type: ignore[misc]
    step("images", lambda: images.load_binary_images(binaries))
    for one in NODES:
        node.start_kubelet(one, binaries)
        node.start_proxy(one, binaries)
    step("nodes", lambda: wait_for_nodes(binaries))
    step("cluster services", lambda: install_services(binaries))
    step("base image", images.build_base_image)
    write_environment(binaries)
    print(f". {ENVIRONMENT}  # gives this shell the cluster; scripts/deploy.sh finds it by itself")


def write_environment(binaries: Path) -> None:
    """Write what a shell needs to use the cluster: kubectl's context, the tools, and where images go."""
    settings = {
        "KUBECONFIG": str(KUBECONFIG),
        "PATH": f"{binaries}:$PATH",
        "CONTAINERD_ADDRESSES": " ".join(str(one.containerd) for one in NODES),
        **images.BUILDAH,
    }
    ENVIRONMENT.write_text("".join(f'export {k}="{v}"\n' for k, v in settings.items()), encoding="utf-8")


def down() -> None:
    """Stop everything and remove all state; the cache of programs and images stays."""
    processes.stop_all()  # the kubelets first of all, which would start again what is killed
    for one in NODES:
        remove_pods(one)
    processes.kill_matching("containerd-shim", str(STATE))
    unmount(STATE)
    network.down()
    for one in NODES:
        node.remove_cgroup(one)
    shutil.rmtree(STATE, ignore_errors=True)


def check_machine() -> None:
    if sys.platform != "linux":
        raise ClusterError("the test cluster needs Linux; use minikube or kind on this machine")
    if os.geteuid() != 0:
        raise ClusterError(
            "the test cluster needs root, for network namespaces and cgroups; use minikube or kind"
        )
    missing = [package for program, package in PROGRAMS.items() if not shutil.which(program)]
    if not Path(node.CNI_PLUGINS).is_dir():
        missing.append("containernetworking-plugins")
    if missing:
        raise ClusterError(f"some programs are missing: apt-get install {' '.join(missing)}")


def wait_for_nodes(binaries: Path) -> None:
    for one in NODES:
        ready = kubectl(binaries, "wait", "--for=condition=Ready", f"node/{one.name}", "--timeout=1s")
        processes.wait_for(ready, f"node {one.name}")


def install_services(binaries: Path) -> None:
    subprocess.run(
        kubectl(binaries, "apply", f"--filename={MANIFESTS}"), check=True, stdout=subprocess.DEVNULL
    )
    for deployment in ("coredns", "metrics-server"):
        command = ["rollout", "status", f"deployment/{deployment}", "--namespace=kube-system", "--timeout=2s"]
        processes.wait_for(kubectl(binaries, *command), deployment)


def kubectl(binaries: Path, *arguments: str) -> list[str]:
    return [str(binaries / "kubectl"), f"--kubeconfig={KUBECONFIG}", *arguments]


def remove_pods(one: Node) -> None:
    """Kill what runs in a node's containers."""
    for hierarchy in (node.CGROUPS / "pids", node.CGROUPS):
        for procs in (hierarchy / one.name).rglob("cgroup.procs"):
            for pid in procs.read_text().split():
                subprocess.run(["kill", "-KILL", pid], check=False, capture_output=True)


def unmount(folder: Path) -> None:
    mounts = Path("/proc/mounts").read_text(encoding="utf-8").splitlines()
    points = [line.split()[1] for line in mounts if line.split()[1].startswith(f"{folder}/")]
    for point in sorted(points, key=len, reverse=True):
        subprocess.run(["umount", "--lazy", point], check=False)


def step(what: str, action: Callable[[], Result]) -> Result:
    begin = time.monotonic()
    result = action()
    print(f"{what}: {time.monotonic() - begin:.1f} s", flush=True)
    return result


if __name__ == "__main__":
    sys.exit(main())
