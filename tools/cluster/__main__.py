"""Command line: `python -m tools.cluster up | down | build | packages | docker | image NAME`."""

import argparse
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tools.cluster import certificates, control_plane, docker, images, network, node, processes
from tools.cluster.build import build_tools, custom_resources
from tools.cluster.places import ENVIRONMENT, KUBECONFIG, NODES, PROJECT, STATE, ClusterError, Node

Result = TypeVar("Result")

MANIFESTS = Path(__file__).parent / "manifests"
PACKAGES = {  # what must be here, and the Debian package that brings it
    "ip": "iproute2",
    "nft": "nftables",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ipset": "ipset",
    "runc": "runc",
    "openssl": "openssl",
    "/usr/lib/cni/ptp": "containernetworking-plugins",
    "/bin/busybox": "busybox-static",
    "buildah": "buildah",
    "debootstrap": "debootstrap",
    "shellcheck": "shellcheck",
    "dockerd": "docker.io",
    "pg_ctlcluster": "postgresql",  # for tests of outcomes
    "docker-registry": "docker-registry",  # for tests of published images and charts
    "gpg": "gnupg",
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.cluster", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("up", help="start what does not run")
    verbs.add_parser("down", help="stop everything and remove all state")
    verbs.add_parser("build", help="build the programs that the cache lacks")
    verbs.add_parser("packages", help="print the Debian packages that are missing")
    verbs.add_parser(
        "docker", help="start a Docker engine unless one answers, and give it the stacks' images"
    )
    image = verbs.add_parser("image", help="build an image and give it to every node")
    image.add_argument("name")
    image.add_argument("--project", type=Path, default=PROJECT, help="folder with the Dockerfile")
    arguments = parser.parse_args()
    try:
        if arguments.verb == "image":
            step(f"building {arguments.name}", lambda: images.build_image(arguments.name, arguments.project))
            step("giving it to the nodes", lambda: images.load_image(arguments.name))
        else:
            {"up": up, "down": down, "build": build_tools, "packages": packages, "docker": docker_up}[
                arguments.verb
            ]()
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def up() -> None:
    """Start what is not running; safe to repeat, also after a crash."""
    check_machine()
    if not processes.running("etcd"):
        down()  # a killed cluster left routes to its pods, and their addresses
    binaries = step("programs", build_tools)
    step("network", network.up)
    step("certificates", certificates.make)
    step("control plane", lambda: control_plane.up(binaries))
    for member in NODES:
        step(f"containerd on {member.name}", lambda member=member: node.start_containerd(member, binaries))  # type: ignore[misc]
    step("images", lambda: images.load_binary_images(binaries))
    for member in NODES:
        node.start_proxy(member, binaries)
    step("nodes", lambda: start_nodes(binaries))
    for member in NODES:
        node.start_firewall(member, binaries)
    step("cluster services", lambda: install_services(binaries))
    step("base image", images.build_base_image)
    write_environment(binaries)
    print(f". {ENVIRONMENT}  # gives this shell the cluster; scripts/deploy.sh finds it by itself")


def docker_up() -> None:
    if docker.answers():
        step("images", docker.use_own)
        return
    check_machine()
    binaries = step("programs", build_tools)
    step("docker", lambda: docker.start(binaries))


def write_environment(binaries: Path) -> None:
    """Write what a shell needs to use the cluster: kubectl's context, the tools, and where images go."""
    settings = {
        "KUBECONFIG": str(KUBECONFIG),
        "PATH": f"{binaries}:$PATH",
        "CONTAINERD_ADDRESSES": " ".join(str(member.containerd) for member in NODES),
        **images.BUILDAH,
    }
    ENVIRONMENT.write_text("".join(f'export {k}="{v}"\n' for k, v in settings.items()), encoding="utf-8")


def down() -> None:
    """Stop everything and remove all state; the cache of programs and images stays."""
    processes.stop_all()  # the kubelets first of all, which would start again what is killed
    docker.remove_bridge()
    refuse_another_cluster()
    for member in NODES:
        remove_pods(member)
        processes.kill(network.programs(member))  # containerd's shims outlive it
    unmount(STATE)
    network.down()
    for member in NODES:
        node.remove_cgroup(member)
    shutil.rmtree(STATE, ignore_errors=True)


def check_machine() -> None:
    if sys.platform != "linux":
        raise ClusterError("the test cluster needs Linux; use minikube or kind on this machine")
    if os.geteuid() != 0:
        raise ClusterError(
            "the test cluster needs root, for network namespaces and cgroups; use minikube or kind"
        )
    if missing := missing_packages():
        raise ClusterError(f"some programs are missing: apt-get install {' '.join(missing)}")


def missing_packages() -> list[str]:
    return [package for program, package in PACKAGES.items() if not shutil.which(program)]


def packages() -> None:
    print(*missing_packages())


def refuse_another_cluster() -> None:
    """Leave alone what another checkout runs: the names of networks and cgroups are the machine's."""
    for member in NODES:
        for process, command in network.programs(member).items():
            if "/containerd.toml" in command and str(STATE) not in command:
                raise ClusterError(
                    "a test cluster of another folder runs on this machine: run make cluster-down there, "
                    f"or end process {process} ({command})"
                )


def start_nodes(binaries: Path) -> None:
    """Start one kubelet after the other, and again while it ends.

    All kubelets of a machine listen on one socket in /var/lib/kubelet, where each removes that of the one
    before: two at once may both find it taken. A kubelet ends itself then, and relies on being started anew.
    """
    for member in NODES:
        ready = kubectl(binaries, "wait", "--for=condition=Ready", f"node/{member.name}", "--timeout=1s")
        processes.wait_for(
            ready,
            f"node {member.name}",
            meanwhile=lambda member=member: node.start_kubelet(member, binaries),  # type: ignore[misc]
        )


def install_services(binaries: Path) -> None:
    """Install DNS, metrics, volumes, and the kinds of the Gateway API and the Prometheus Operator."""
    for file in custom_resources():
        apply(binaries, file.read_text(encoding="utf-8"))
    for file in sorted(MANIFESTS.glob("*.yaml")):
        apply(binaries, file.read_text(encoding="utf-8").replace("${STATE}", str(STATE)))
    for deployment in ("coredns", "metrics-server", "local-path-provisioner"):
        command = ["rollout", "status", f"deployment/{deployment}", "--namespace=kube-system", "--timeout=2s"]
        processes.wait_for(kubectl(binaries, *command), deployment)


def apply(binaries: Path, manifest: str) -> None:
    command = kubectl(binaries, "apply", "--server-side", "--force-conflicts", "--filename=-")
    subprocess.run(command, input=manifest, text=True, check=True, stdout=subprocess.DEVNULL)


def kubectl(binaries: Path, *arguments: str) -> list[str]:
    return [str(binaries / "kubectl"), f"--kubeconfig={KUBECONFIG}", *arguments]


def remove_pods(member: Node) -> None:
    """Kill what runs in a node's containers."""
    for hierarchy in (node.CGROUPS / "pids", node.CGROUPS):
        for procs in (hierarchy / member.name).rglob("cgroup.procs"):
            processes.kill(int(pid) for pid in procs.read_text().split())


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
