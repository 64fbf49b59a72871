"""Renders the chart with its default values into k8s/, one object a file, for people without Helm.

`make k8s` runs it; tests/programs/test_chart.py holds the committed files to it. Needs helm.
"""

import subprocess
import sys
from pathlib import Path

import yaml

PROJECT = Path(__file__).resolve().parent.parent
CHART = PROJECT / "helm-charts" / "heart-disease-api"
NAMESPACE = "mlops"
HEADER = "# Rendered from helm-charts/heart-disease-api by `make k8s`; do not edit.\n"

NAMESPACE_OBJECT = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}


def render() -> dict[str, str]:
    """Return the content of each file of k8s/ by name."""
    command = ["helm", "template", "heart-disease-api", str(CHART), "--namespace", NAMESPACE, "--skip-tests"]
    rendered = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    objects = [NAMESPACE_OBJECT, *(found for found in yaml.safe_load_all(rendered) if found)]
    files = {f"{found['kind'].lower()}.yaml": _text(without_helm(found)) for found in objects}
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": list(files),
    }
    return files | {"kustomization.yaml": _text(kustomization)}


def without_helm(found: dict[str, object]) -> dict[str, object]:
    """Drop the labels and annotations that only mean something to Helm."""
    for metadata in _metadata(found):
        labels = metadata.get("labels", {})
        for label in ("helm.sh/chart", "app.kubernetes.io/managed-by"):
            labels.pop(label, None)
        metadata.get("annotations", {}).pop("heart-disease-api/release-revision", None)
    return found


def _metadata(value: object) -> list[dict[str, dict[str, str]]]:
    if isinstance(value, dict):
        own = [value["metadata"]] if isinstance(value.get("metadata"), dict) else []
        return own + [found for child in value.values() for found in _metadata(child)]
    return []


def _text(found: object) -> str:
    return HEADER + str(yaml.safe_dump(found, sort_keys=False, width=110))


def main() -> int:
    folder = PROJECT / "k8s"
    folder.mkdir(exist_ok=True)
    files = render()
    for stale in {path.name for path in folder.glob("*.yaml")} - set(files):
        (folder / stale).unlink()
    for name, content in files.items():
        (folder / name).write_text(content, encoding="utf-8")
    print(f"wrote {len(files)} files to {folder.relative_to(PROJECT)}/")
    return 0


if __name__ == "__main__":
    sys.exit(main())
