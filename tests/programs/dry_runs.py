"""Dry runs at a real API server: it checks what is applied, and keeps nothing."""

import re
from typing import Any
from urllib.parse import quote

import requests
import yaml

from tests.api_server import TOKEN, ApiServer
from tests.harness import eventually

RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
CHECK = {"dryRun": "All", "fieldValidation": "Strict"}
DOCUMENT = re.compile(r"(?m)^---.*$")


class DryRuns:
    """Sends what kubectl does with --dry-run=server, on one connection: thousands of objects in a minute."""

    def __init__(self, server: ApiServer) -> None:
        self._url = server.url
        self._session = requests.Session()
        self._session.verify = str(server.certificate)
        self._session.trust_env = False
        self._session.headers["Authorization"] = f"Bearer {TOKEN}"
        self._kinds: dict[tuple[str, str], tuple[str, bool]] = {}

    def create(self, given: dict[str, Any]) -> None:
        """Create an object for good, such as a namespace."""
        self._session.post(self._url + self._collection(given), json=given, timeout=30).raise_for_status()

    def _knows(self, version: str, kind: str) -> bool:
        if (version, kind) not in self._kinds:
            group = f"/apis/{version}" if "/" in version else f"/api/{version}"
            answer = self._session.get(self._url + group, timeout=30)
            for found in answer.json().get("resources", ()) if answer.ok else ():
                if "/" not in found["name"]:
                    self._kinds[version, found["kind"]] = (f"{group}/@{found['name']}", found["namespaced"])
        return (version, kind) in self._kinds

    def _collection(self, given: dict[str, Any]) -> str:
        kind = given["apiVersion"], given["kind"]
        eventually(lambda: self._knows(*kind), f"the API server serves {kind}")
        path, namespaced = self._kinds[kind]
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
            self._url + f"{self._collection(given)}/{name}",
            params=CHECK | {"fieldManager": "tests", "force": "true"},
            data=text.encode(),
            headers={"Content-Type": "application/apply-patch+yaml"},
            timeout=30,
        )
        return said(answer)

    def _pod_refusal(self, pod: dict[str, Any]) -> str:
        address = self._url + self._collection(pod)
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
