"""A Kubernetes API without nodes: etcd and the API server on loopback, for what only they decide.

Objects are validated, defaulted, stored and compared as on any cluster; no pod of them ever runs.
"""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Self

from tests.harness import eventually, free_port, run
from tools.cluster.build import custom_resources
from tools.cluster.places import CACHE

PROGRAMS = CACHE / "bin"
TOKEN = "administrator"  # noqa: S105  # of a server that only this machine reaches, for as long as a test runs

A_CLUSTERS_OWN = ("ServiceAccount", "Priority", "NamespaceLifecycle")
"""Accounts, priorities and namespaces are a cluster's own: here any will do, as will any port of a node."""


class ApiServer:
    """Runs as long as the context; `settings` are what kubectl and helm need to reach it."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="kubernetes-"))
        self._processes: list[subprocess.Popen[bytes]] = []
        self.url = f"https://127.0.0.1:{free_port()}"
        self.certificate = self._folder / "certificates" / "apiserver.crt"
        self.kubeconfig = self._folder / "kubeconfig"
        self.settings = {"KUBECONFIG": str(self.kubeconfig), "HELM_CACHE_HOME": str(self._folder / "helm")}

    def __enter__(self) -> Self:
        peers, clients = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        self._start(
            "etcd",
            f"--data-dir={self._folder / 'etcd'}",
            "--unsafe-no-fsync",
            f"--listen-client-urls={clients}",
            f"--advertise-client-urls={clients}",
            f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=default={peers}",
            "--log-level=warn",
        )
        key = self._folder / "service-accounts.key"
        run("openssl", "genrsa", "-out", key, "2048")
        (self._folder / "tokens.csv").write_text(f'{TOKEN},admin,1,"system:masters"\n', encoding="utf-8")
        self._start(
            "kube-apiserver",
            f"--etcd-servers={clients}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self.url.rpartition(':')[2]}",
            f"--cert-dir={self.certificate.parent}",
            f"--token-auth-file={self._folder / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            f"--disable-admission-plugins={','.join(A_CLUSTERS_OWN)}",
            "--service-cluster-ip-range=10.96.0.0/16,fd00:96::/112",
            "--service-node-port-range=1-65535",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
        )
        self.kubeconfig.write_text(json.dumps(kubeconfig(self.url)), encoding="utf-8")
        eventually(lambda: self.kubectl("get", "--raw=/readyz", check=False).returncode == 0, "it is ready")
        for file in custom_resources():
            self.kubectl("create", "--filename", str(file))
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._processes):
            process.kill()
            process.wait()
        shutil.rmtree(self._folder)

    def run(self, program: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return run(PROGRAMS / program, *arguments, check=check, settings=self.settings)

    def kubectl(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run("kubectl", *arguments, check=check)

    def helm(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run("helm", *arguments, check=check)

    def _start(self, program: str, *flags: str) -> None:
        with (self._folder / f"{program}.log").open("wb") as log:
            command = [str(PROGRAMS / program), *flags]
            self._processes.append(subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT))


def kubeconfig(url: str) -> dict[str, object]:
    cluster = {"server": url, "insecure-skip-tls-verify": True}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "bare", "cluster": cluster}],
        "users": [{"name": "admin", "user": {"token": TOKEN}}],
        "contexts": [{"name": "bare", "context": {"cluster": "bare", "user": "admin"}}],
        "current-context": "bare",
    }
