"""A real API server of Kubernetes without nodes: it checks what is applied, by dry run, and keeps nothing."""

import re
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import requests
import yaml

from tests.harness import eventually, free_port
from tools.cluster.build import custom_resources

TOKEN = "tests"  # noqa: S105  # of a server on loopback
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
CHECK = {"dryRun": "All", "fieldValidation": "Strict"}
DOCUMENT = re.compile(r"(?m)^---.*$")


class KubernetesAPI:
    """etcd and kube-apiserver on loopback.

    Namespaces, accounts, priorities and the ports of nodes are a cluster's own: here any will do.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = ExitStack()
        self._etcd, self._peer, self._port = (free_port() for _ in range(3))
        self._session = requests.Session()
        self._session.verify = str(folder / "apiserver.crt")  # it makes that itself
        self._session.trust_env = False
        self._session.headers["Authorization"] = f"Bearer {TOKEN}"
        self._kinds: dict[tuple[str, str], tuple[str, bool]] = {}

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()
        self._stack.close()

    def _start(self, stack: ExitStack) -> None:
        client, peer = f"http://127.0.0.1:{self._etcd}", f"http://127.0.0.1:{self._peer}"
        self._launch(
            stack,
            "etcd",
            f"--data-dir={self._folder / 'etcd'}",
            "--unsafe-no-fsync",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
        )
        key = self._folder / "accounts.key"
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
        (self._folder / "tokens.csv").write_text(f"{TOKEN},tests,1,system:masters\n", encoding="utf-8")
        self._launch(
            stack,
            "kube-apiserver",
            f"--etcd-servers={client}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self._port}",
            f"--cert-dir={self._folder}",
            f"--token-auth-file={self._folder / 'tokens.csv'}",
            "--authorization-mode=AlwaysAllow",
            "--disable-admission-plugins=ServiceAccount,Priority,NamespaceLifecycle",
            "--service-cluster-ip-range=10.96.0.0/16,fd00:96::/112",
            "--service-node-port-range=1-65535",
            "--service-account-issuer=https://kubernetes.example",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
        )
        eventually(self._is_ready, f"the API server is ready, see {self._folder}", seconds=60)
        for file in custom_resources():
            self.create(yaml.safe_load(file.read_text(encoding="utf-8")))

    def _launch(self, stack: ExitStack, name: str, *flags: str) -> None:
        log = stack.enter_context((self._folder / f"{name}.log").open("wb"))
        process = subprocess.Popen([name, *flags], stdout=log, stderr=log, cwd=self._folder)
        stack.callback(process.wait, 30)
        stack.callback(process.terminate)

    def _is_ready(self) -> bool:
        try:
            return self._session.get(self._url("/readyz"), timeout=5).status_code == 200
        except (requests.ConnectionError, OSError):  # it has no certificate yet
            return False

    def _url(self, path: str) -> str:
        return f"https://127.0.0.1:{self._port}{path}"

    def create(self, given: dict[str, Any]) -> None:
        """Create an object for good: a namespace, or the definition of a kind, which is then served."""
        collection = self._collection(given)
        self._session.post(self._url(collection), json=given, timeout=30).raise_for_status()
        if given["kind"] == "CustomResourceDefinition":
            spec = given["spec"]
            for version in (found["name"] for found in spec["versions"] if found["served"]):
                served = f"{spec['group']}/{version}", spec["names"]["kind"]
                eventually(lambda kind=served: self._knows(*kind), f"the API server serves {served}")  # type: ignore[misc]

    def _knows(self, version: str, kind: str) -> bool:
        if (version, kind) not in self._kinds:
            group = f"/apis/{version}" if "/" in version else f"/api/{version}"
            answer = self._session.get(self._url(group), timeout=30)
            for found in answer.json().get("resources", ()) if answer.ok else ():
                if "/" not in found["name"]:
                    self._kinds[version, found["kind"]] = (f"{group}/@{found['name']}", found["namespaced"])
        return (version, kind) in self._kinds

    def _collection(self, given: dict[str, Any]) -> str:
        assert self._knows(given["apiVersion"], given["kind"]), (
            f"no kind {given['apiVersion']} {given['kind']}"
        )
        path, namespaced = self._kinds[given["apiVersion"], given["kind"]]
        place = f"namespaces/{given['metadata'].get('namespace', 'default')}/" if namespaced else ""
        return path.replace("@", place)

    def refusals(self, manifests: str, pods_in: str) -> list[str]:
        """Apply documents, and create their pods in a namespace, by a dry run; return each error message."""
        refused: list[str] = []
        for text in DOCUMENT.split(manifests):
            given = yaml.safe_load(text)
            if given:
                pods = list(pods_of(given, pods_in))
                refused += filter(None, [self._refusal(given, text), *map(self._pod_refusal, pods)])
        return refused

    def _refusal(self, given: dict[str, Any], text: str) -> str:
        """Send what `kubectl apply --server-side --dry-run=server` sends."""
        name = quote(str(given["metadata"]["name"]), safe="")
        answer = self._session.patch(
            self._url(f"{self._collection(given)}/{name}"),
            params=CHECK | {"fieldManager": "tests", "force": "true"},
            data=text.encode(),
            headers={"Content-Type": "application/apply-patch+yaml"},
            timeout=30,
        )
        return said(answer)

    def _pod_refusal(self, pod: dict[str, Any]) -> str:
        address = self._url(self._collection(pod))
        return said(self._session.post(address, params=CHECK, json=pod, timeout=30))


def said(answer: requests.Response) -> str:
    return "" if answer.ok else str(answer.json().get("message", answer.text))


def pods_of(given: dict[str, Any], namespace: str) -> list[dict[str, Any]]:
    """Return the pod that an object makes, which no dry run of the object itself tries to create."""
    spec = given.get("spec", {})
    template = (
        spec.get("jobTemplate", {}).get("spec", spec).get("template") if given["kind"] != "Pod" else given
    )
    if not template:
        return []
    metadata = {key: template["metadata"].get(key) for key in ("labels", "annotations")}
    metadata |= {"generateName": "pod-", "namespace": namespace}
    return [{"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}]
