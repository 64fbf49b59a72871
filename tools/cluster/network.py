"""A bridge, and a network namespace for each node; the machine's own network is left as it is."""

import subprocess

from tools.cluster import processes
from tools.cluster.places import BRIDGE, BRIDGE_ADDRESS, NODES, Node


def up() -> None:
    if not _ok("ip", "link", "show", BRIDGE):
        _run("ip", "link", "add", BRIDGE, "type", "bridge")
        _run("ip", "address", "add", f"{BRIDGE_ADDRESS}/24", "dev", BRIDGE)
    _run("ip", "link", "set", BRIDGE, "up")
    for node in NODES:
        if not node.namespace.exists():
            _join(node)


def down() -> None:
    for node in NODES:
        if node.namespace.exists():
            _run("ip", "netns", "delete", node.name)
    if _ok("ip", "link", "show", BRIDGE):
        _run("ip", "link", "delete", BRIDGE)


def inside(node: Node, *command: str) -> list[str]:
    """Return the command as it runs in a node's network; `ip netns exec` would hide the cgroups."""
    return ["nsenter", f"--net={node.namespace}", *command]


def programs(node: Node) -> dict[int, str]:
    """Return the command of each process in a node's network, pods left out."""
    if not node.namespace.exists():
        return {}
    pids = subprocess.run(["ip", "netns", "pids", node.name], check=True, capture_output=True, text=True)
    return {int(pid): processes.command(int(pid)) for pid in pids.stdout.split()}


def _join(node: Node) -> None:
    outer = f"{BRIDGE}-{node.number}"
    _run("ip", "netns", "add", node.name)
    _run("ip", "link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", node.name)
    _run("ip", "link", "set", outer, "master", BRIDGE, "up")
    _run(*inside(node, "ip", "link", "set", "lo", "up"))
    _run(*inside(node, "ip", "address", "add", f"{node.address}/24", "dev", "eth0"))
    _run(*inside(node, "ip", "link", "set", "eth0", "up"))
    _run(*inside(node, "ip", "route", "add", "default", "via", BRIDGE_ADDRESS))
    _run(*inside(node, "sysctl", "-qw", "net.ipv4.ip_forward=1"))
    for other in NODES:
        if other != node:
            _run(*inside(node, "ip", "route", "add", other.pods, "via", other.address))


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


def _ok(*command: str) -> bool:
    return subprocess.run(command, check=False, capture_output=True).returncode == 0
