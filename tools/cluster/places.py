"""Where the cluster keeps what, and which addresses it has."""

import os
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent.parent
STATE = PROJECT / ".cluster"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "heart-disease-api"
KUBECONFIG = STATE / "kubeconfig"
ENVIRONMENT = STATE / "environment"
DOCKER_ENVIRONMENT = STATE / "docker-environment"

KUBERNETES_VERSION = "v1.36.3"
BRIDGE = "heart0"
BRIDGE_ADDRESS = "10.89.0.1"
SERVICE_RANGE = "10.96.0.0/16"
POD_RANGE = "10.244.0.0/16"
API_SERVICE_ADDRESS = "10.96.0.1"
DNS_ADDRESS = "10.96.0.10"


@dataclass(frozen=True)
class Node:
    """A node: its name is also that of its namespace, its cgroup and its folder."""

    name: str
    number: int

    @property
    def address(self) -> str:
        return f"10.89.0.{10 + self.number}"

    @property
    def pods(self) -> str:
        return f"10.244.{self.number}.0/24"

    @property
    def folder(self) -> Path:
        return STATE / self.name

    @property
    def namespace(self) -> Path:
        return Path("/run/netns") / self.name

    @property
    def containerd(self) -> Path:
        return self.folder / "containerd.sock"


NODES = (Node("heart-node1", 1), Node("heart-node2", 2))
CONTROL_PLANE = NODES[0]


class ClusterError(Exception):
    """The cluster cannot be had: one sentence that says why."""
