"""The cluster's own certificate authority, and kubeconfigs of those who talk to the API server."""

import json
import subprocess
from pathlib import Path

from tools.cluster.places import API_SERVICE_ADDRESS, CONTROL_PLANE, KUBECONFIG, NODES, STATE

FOLDER = STATE / "certificates"
SERVER_NAMES = (
    "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,"
    f"DNS:localhost,IP:127.0.0.1,IP:{CONTROL_PLANE.address},IP:{API_SERVICE_ADDRESS}"
)


def make() -> None:
    """Make keys, certificates and kubeconfigs, once."""
    if KUBECONFIG.exists():
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    _openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "365", "-subj", "/CN=heart-cluster",
             "-keyout", "ca.key", "-out", "ca.crt")  # fmt: skip
    _openssl("genrsa", "-out", "service-accounts.key", "2048")
    _certificate("apiserver", "/CN=kube-apiserver", f"subjectAltName={SERVER_NAMES}")
    _certificate("kubelet-client", "/O=system:masters/CN=kube-apiserver-kubelet-client")
    _certificate("front-proxy", "/CN=front-proxy-client")
    _kubeconfig("controller-manager", "/CN=system:kube-controller-manager")
    _kubeconfig("scheduler", "/CN=system:kube-scheduler")
    _kubeconfig("proxy", "/CN=system:kube-proxy")
    _kubeconfig("firewall", "/O=system:masters/CN=kube-router")
    for node in NODES:
        _kubeconfig(node.name, f"/O=system:nodes/CN=system:node:{node.name}")
    admin = _kubeconfig("admin", "/O=system:masters/CN=admin")
    KUBECONFIG.write_text(admin.read_text(encoding="utf-8"), encoding="utf-8")
    KUBECONFIG.chmod(0o600)


def _kubeconfig(name: str, subject: str) -> Path:
    _certificate(name, subject)
    cluster = {
        "server": f"https://{CONTROL_PLANE.address}:6443",
        "certificate-authority": str(FOLDER / "ca.crt"),
    }
    user = {"client-certificate": str(FOLDER / f"{name}.crt"), "client-key": str(FOLDER / f"{name}.key")}
    context = {"cluster": "heart", "user": name}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "heart", "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": "heart", "context": context}],
        "current-context": "heart",
    }
    path = FOLDER / f"{name}.kubeconfig"
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")
    return path


def _certificate(name: str, subject: str, extension: str = "") -> None:
    usage = "extendedKeyUsage=serverAuth,clientAuth\n" + extension
    (FOLDER / f"{name}.ext").write_text(usage + "\n", encoding="utf-8")
    _openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", subject, "-keyout", f"{name}.key",
             "-out", f"{name}.csr")  # fmt: skip
    _openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
             "-days", "365", "-extfile", f"{name}.ext", "-out", f"{name}.crt")  # fmt: skip


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=FOLDER, check=True, capture_output=True)
