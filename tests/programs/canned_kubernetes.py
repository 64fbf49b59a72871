"""A Kubernetes API that answers what kubectl asks for deploy.sh: its nodes, and the release that runs."""

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Node = tuple[str, str, str, str]
"""Its name, architecture, runtime and version."""

DEPLOYMENT = "/apis/apps/v1/namespaces/mlops/deployments/heart-disease-api"


def kinds(version: str, **names: str) -> dict[str, Any]:
    resources = [
        {
            "name": name,
            "singularName": "",
            "kind": kind,
            "namespaced": name != "nodes",
            "verbs": ["get", "list"],
        }
        for name, kind in names.items()
    ]
    return {"kind": "APIResourceList", "groupVersion": version, "resources": resources}


def node(name: str, architecture: str, runtime: str, version: str) -> dict[str, Any]:
    info = {"architecture": architecture, "containerRuntimeVersion": runtime, "kubeletVersion": version}
    return {"kind": "Node", "apiVersion": "v1", "metadata": {"name": name}, "status": {"nodeInfo": info}}


def deployment(image: str, selector: dict[str, str]) -> dict[str, Any]:
    pod = {"nodeSelector": selector, "containers": [{"name": "sidecar"}, {"name": "api", "image": image}]}
    metadata = {"name": "heart-disease-api", "namespace": "mlops"}
    return {
        "kind": "Deployment",
        "apiVersion": "apps/v1",
        "metadata": metadata,
        "spec": {"template": {"spec": pod}},
    }


def documents(nodes: Sequence[Node]) -> dict[str, Any]:
    version = {"groupVersion": "apps/v1", "version": "v1"}
    group = {"name": "apps", "versions": [version], "preferredVersion": version}
    return {
        "/version": {"major": "1", "minor": "33", "gitVersion": "v1.33.0"},
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group]},
        "/api/v1": kinds("v1", nodes="Node", services="Service"),
        "/apis/apps/v1": kinds("apps/v1", deployments="Deployment"),
        "/api/v1/nodes": {"kind": "NodeList", "apiVersion": "v1", "items": [node(*found) for found in nodes]},
    }


@contextmanager
def serve(answers: dict[str, Any]) -> Iterator[str]:
    """Answer these paths and 404 elsewhere, and yield the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            missing = {
                "kind": "Status",
                "apiVersion": "v1",
                "status": "Failure",
                "reason": "NotFound",
                "code": 404,
            }
            found = answers.get(self.path.partition("?")[0], missing)
            body = json.dumps(found).encode()
            self.send_response(404 if found is missing else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def write_kubeconfig(file: Path, address: str, context: str, cluster: str = "", provider: str = "") -> None:
    """Write a kubeconfig as a tool does; the provider stands where minikube writes itself."""
    mark = [{"name": "cluster_info", "extension": {"provider": provider}}] if provider else []
    entry = cluster or context
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": context,
        "clusters": [{"name": entry, "cluster": {"server": address, "extensions": mark}}],
        "contexts": [{"name": context, "context": {"cluster": entry, "user": "user"}}],
        "users": [{"name": "user", "user": {"token": "x"}}],
    }
    file.write_text(json.dumps(content), encoding="utf-8")
