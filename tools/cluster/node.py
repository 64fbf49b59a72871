"""A node: containerd, kubelet, kube-proxy and a firewall in a network namespace and a cgroup of their own."""

import json
from pathlib import Path

from tools.cluster import processes
from tools.cluster.certificates import FOLDER
from tools.cluster.network import inside
from tools.cluster.places import DNS_ADDRESS, POD_RANGE, SERVICE_RANGE, Node

CGROUPS = Path("/sys/fs/cgroup")
CNI_PLUGINS = "/usr/lib/cni"
PAUSE_IMAGE = "registry.k8s.io/pause:3.10"

CONTAINERD = """version = 3
root = '{folder}/containerd'
state = '{folder}/containerd-state'
[grpc]
address = '{socket}'
[ttrpc]
address = '{socket}.ttrpc'
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = '{pause}'
[plugins.'io.containerd.cri.v1.runtime']
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ['{plugins}']
conf_dir = '{folder}/cni'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = 'io.containerd.runc.v2'
"""


def start_containerd(node: Node, binaries: Path) -> None:
    (node.folder / "cni").mkdir(parents=True, exist_ok=True)
    _make_cgroup(node)
    _write(node.folder / "cni" / "10-pods.conflist", json.dumps(_cni(node)))
    config = node.folder / "containerd.toml"
    _write(
        config,
        CONTAINERD.format(folder=node.folder, socket=node.containerd, pause=PAUSE_IMAGE, plugins=CNI_PLUGINS),
    )
    environment = ["env", f"PATH={binaries}:/usr/sbin:/usr/bin:/sbin:/bin"]
    command = [*environment, str(binaries / "containerd"), f"--config={config}", "--log-level=warn"]
    processes.start(f"{node.name}-containerd", inside(node, *command))
    ready = [str(binaries / "ctr"), f"--address={node.containerd}", "version"]
    processes.wait_for(ready, f"containerd on {node.name}")


def start_kubelet(node: Node, binaries: Path) -> None:
    config = node.folder / "kubelet.yaml"
    _write(config, json.dumps(_kubelet(node)))
    command = [
        str(binaries / "kubelet"),
        f"--config={config}",
        f"--kubeconfig={FOLDER / f'{node.name}.kubeconfig'}",
        f"--root-dir={node.folder / 'kubelet'}",
        f"--cert-dir={node.folder / 'kubelet-pki'}",
        f"--hostname-override={node.name}",
        f"--node-ip={node.address}",
    ]
    processes.start(f"{node.name}-kubelet", inside(node, *command))


def start_proxy(node: Node, binaries: Path) -> None:
    config = node.folder / "proxy.yaml"
    content = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clusterCIDR": POD_RANGE,
        "hostnameOverride": node.name,
        "conntrack": {"maxPerCore": 0},
        "clientConnection": {"kubeconfig": str(FOLDER / "proxy.kubeconfig")},
    }
    _write(config, json.dumps(content))
    command = [str(binaries / "kube-proxy"), f"--config={config}"]
    processes.start(f"{node.name}-kube-proxy", inside(node, *command))


def start_firewall(node: Node, binaries: Path) -> None:
    """Enforce NetworkPolicies: kube-router's firewall, without its routes and its proxy."""
    command = [
        str(binaries / "kube-router"),
        "--run-firewall=true",
        "--run-router=false",
        "--run-service-proxy=false",
        f"--kubeconfig={FOLDER / 'firewall.kubeconfig'}",
        f"--hostname-override={node.name}",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        "--health-port=0",
    ]
    processes.start(f"{node.name}-firewall", inside(node, *command))


def _kubelet(node: Node) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(FOLDER / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{node.name}",
        "clusterDNS": [DNS_ADDRESS],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": f"unix://{node.containerd}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "podLogsDir": str(node.folder / "pod-logs"),
        "resolvConf": "/dev/null",
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "100Mi"},
        "nodeStatusUpdateFrequency": "4s",
    }


def _cni(node: Node) -> dict[str, object]:
    ipam = {
        "type": "host-local",
        "ranges": [[{"subnet": node.pods}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": str(node.folder / "cni-addresses"),
    }
    # point to point, not a bridge: answers from behind a service address must pass this node's routing
    return {
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [
            {"type": "ptp", "ipMasq": False, "ipam": ipam},
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def _make_cgroup(node: Node) -> None:
    """Make the node's group in every hierarchy; a cpuset starts empty and needs its parent's."""
    if (CGROUPS / "cgroup.controllers").exists():
        (CGROUPS / node.name).mkdir(exist_ok=True)
        return
    for hierarchy in CGROUPS.iterdir():
        if hierarchy.is_symlink() or not (hierarchy / "cgroup.procs").exists():
            continue
        group = hierarchy / node.name
        group.mkdir(exist_ok=True)
        for setting in ("cpuset.cpus", "cpuset.mems"):
            if (hierarchy / setting).exists():
                (group / setting).write_text((hierarchy / setting).read_text())


def remove_cgroup(node: Node) -> None:
    """Remove the node's group from every hierarchy, the innermost first; its processes have ended."""
    for root in [*CGROUPS.glob(f"*/{node.name}"), CGROUPS / node.name]:
        if root.is_dir():
            groups = sorted((path for path in root.rglob("*") if path.is_dir()), reverse=True)
            for group in [*groups, root]:
                processes.wait_for(["rmdir", str(group)], f"the end of what ran in {group}", 20)


def _write(path: Path, content: str) -> None:
    """Write a file unless it is there: kube-proxy ends itself when its configuration is touched."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != content:
        path.write_text(content, encoding="utf-8")
