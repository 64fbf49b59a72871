"""etcd, API server, controller manager and scheduler, all in the first node's network."""

from pathlib import Path

from tools.cluster import processes
from tools.cluster.certificates import FOLDER
from tools.cluster.network import inside
from tools.cluster.places import CONTROL_PLANE, KUBECONFIG, POD_RANGE, SERVICE_RANGE, STATE


def up(binaries: Path) -> None:
    def start(name: str, *flags: str) -> None:
        processes.start(name, inside(CONTROL_PLANE, str(binaries / name), *flags))

    start(
        "etcd",
        f"--data-dir={STATE / 'etcd'}",
        "--unsafe-no-fsync",
        "--listen-client-urls=http://127.0.0.1:2379",
        "--advertise-client-urls=http://127.0.0.1:2379",
        "--listen-peer-urls=http://127.0.0.1:2380",
        "--log-level=warn",
    )
    start(
        "kube-apiserver",
        "--etcd-servers=http://127.0.0.1:2379",
        f"--advertise-address={CONTROL_PLANE.address}",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        "--enable-aggregator-routing=true",
        "--kubelet-preferred-address-types=InternalIP",
        f"--client-ca-file={FOLDER / 'ca.crt'}",
        f"--tls-cert-file={FOLDER / 'apiserver.crt'}",
        f"--tls-private-key-file={FOLDER / 'apiserver.key'}",
        f"--kubelet-client-certificate={FOLDER / 'kubelet-client.crt'}",
        f"--kubelet-client-key={FOLDER / 'kubelet-client.key'}",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={FOLDER / 'service-accounts.key'}",
        f"--service-account-signing-key-file={FOLDER / 'service-accounts.key'}",
        f"--requestheader-client-ca-file={FOLDER / 'ca.crt'}",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={FOLDER / 'front-proxy.crt'}",
        f"--proxy-client-key-file={FOLDER / 'front-proxy.key'}",
    )
    ready = [str(binaries / "kubectl"), f"--kubeconfig={KUBECONFIG}", "get", "--raw=/readyz"]
    processes.wait_for(ready, "the API server")
    start(
        "kube-controller-manager",
        f"--kubeconfig={FOLDER / 'controller-manager.kubeconfig'}",
        "--use-service-account-credentials",
        "--leader-elect=false",
        "--allocate-node-cidrs=false",
        f"--cluster-cidr={POD_RANGE}",
        f"--root-ca-file={FOLDER / 'ca.crt'}",
        f"--service-account-private-key-file={FOLDER / 'service-accounts.key'}",
        f"--cluster-signing-cert-file={FOLDER / 'ca.crt'}",
        f"--cluster-signing-key-file={FOLDER / 'ca.key'}",
        "--horizontal-pod-autoscaler-sync-period=5s",
        "--node-monitor-grace-period=20s",
    )
    start(
        "kube-scheduler",
        f"--kubeconfig={FOLDER / 'scheduler.kubeconfig'}",
        "--leader-elect=false",
    )
