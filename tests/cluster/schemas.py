"""The cluster's own OpenAPI as JSON Schemas, a file for each kind, for kubeconform."""

import json
from pathlib import Path
from typing import Any

from tests.cluster.conftest import kubectl

LOCATION = "{{.ResourceKind}}{{.KindSuffix}}.json"


def write_schemas(folder: Path) -> str:
    """Write a strict schema for every kind of the API server; return kubeconform's schema location."""
    groups = json.loads(kubectl("get", "--raw", "/openapi/v3"))["paths"]
    for path in (found for found in groups if found.startswith(("api/", "apis/"))):
        document = json.loads(kubectl("get", "--raw", f"/openapi/v3/{path}"))
        schemas = document.get("components", {}).get("schemas", {})
        for name, schema in schemas.items():
            for kind in schema.get("x-kubernetes-group-version-kind", []):
                group = [name for name in kind["group"].split(".")[:1] if name]
                file = folder / ("-".join([kind["kind"].lower(), *group, kind["version"]]) + ".json")
                whole = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": strict(schemas)}}
                file.write_text(json.dumps(whole), encoding="utf-8")
    return str(folder / LOCATION)


def strict(value: Any) -> Any:
    """Reject unknown keys wherever the keys are listed."""
    if isinstance(value, list):
        return [strict(item) for item in value]
    if not isinstance(value, dict):
        return value
    copy = {key: strict(item) for key, item in value.items()}
    if isinstance(value.get("properties"), dict) and value.get("type") == "object":
        copy.setdefault("additionalProperties", False)
    return copy
