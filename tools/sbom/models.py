"""Bundles as components: the model, its files, its training data, and its card."""

import json
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense, License

from tools.sbom.errors import SbomError


@dataclass(frozen=True)
class Bundle:
    """A version of a model: the content of its `bundle.json`, and of the `model.toml` beside its folder."""

    manifest: dict[str, Any]
    declaration: dict[str, Any]

    @property
    def reference(self) -> str:
        return f"model/{self.manifest['model']}@{self.manifest['version']}"

    @property
    def data_reference(self) -> str:
        return f"data/{self.manifest['model']}@{self.manifest['data']['sha256'][:12]}"


def read_bundles(models: Path) -> list[Bundle]:
    paths = sorted(models.glob("*/v*/bundle.json"))
    if not paths:
        raise SbomError(f"{models} has no model with a bundle.json; train one, or give the folder of models")
    return [
        Bundle(
            json.loads(path.read_bytes()), tomllib.loads((path.parents[1] / "model.toml").read_text("utf-8"))
        )
        for path in paths
    ]


def model_component(bundle: Bundle, licence: License) -> Component:
    """Return a component whose hash is the `bundle_sha256` of `GET /models`; its parts are its files."""
    manifest = bundle.manifest
    return Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        name=manifest["model"],
        version=manifest["version"],
        description=bundle.declaration["description"],
        bom_ref=bundle.reference,
        hashes=_sha256(manifest["sha256"]),
        licenses=[licence],
        components=[_file(bundle, name, digest) for name, digest in manifest["files"].items()],
    )


def data_components(bundles: Iterable[Bundle]) -> list[Component]:
    """Return a component for each table that models were trained on, once."""
    by_reference = {bundle.data_reference: bundle for bundle in bundles}
    return [_data(reference, bundle) for reference, bundle in by_reference.items()]


def model_card(bundle: Bundle) -> dict[str, Any]:
    """Return a `modelCard` of CycloneDX: what the card says of the model, by the words of its schema."""
    manifest, declaration = bundle.manifest, bundle.declaration
    return {
        "modelParameters": {
            "approach": {"type": "supervised"},
            "task": "classification",
            "modelArchitecture": manifest["estimator"]["type"],
            "datasets": [{"ref": bundle.data_reference}],
            "inputs": [{"format": name} for name in manifest["features"]],
            "outputs": [{"format": f"probability of {label}"} for label in manifest["classes"]],
        },
        "quantitativeAnalysis": {"performanceMetrics": _metrics(manifest["evaluation"])},
        "considerations": {
            "useCases": [declaration["intended_use"]],
            "technicalLimitations": [
                declaration[name] for name in ("limits", "elsewhere") if declaration.get(name)
            ],
        },
    }


def _metrics(evaluation: dict[str, Any]) -> list[dict[str, Any]]:
    whole = [_metric(name, metric) for name, metric in evaluation["metrics"].items()]
    groups = [
        _metric(name, metric) | {"slice": f"{group['feature']}={group['group']}"}
        for group in evaluation.get("groups") or []
        for name, metric in group["metrics"].items()
    ]
    return whole + groups


def _metric(name: str, metric: dict[str, float]) -> dict[str, Any]:
    interval = {"lowerBound": str(metric["lower"]), "upperBound": str(metric["upper"])}
    return {"type": name, "value": str(metric["value"]), "confidenceInterval": interval}


def _file(bundle: Bundle, name: str, digest: str) -> Component:
    reference = f"{bundle.reference}/{name}"
    return Component(type=ComponentType.FILE, name=name, bom_ref=reference, hashes=_sha256(digest))


def _data(reference: str, bundle: Bundle) -> Component:
    trained = bundle.manifest["data"]
    return Component(
        type=ComponentType.DATA,
        name=f"training data of {bundle.manifest['model']}",
        description=bundle.declaration["data_source"],
        bom_ref=reference,
        hashes=_sha256(trained["sha256"]),
        licenses=[DisjunctiveLicense(name=bundle.declaration["licence"])],
        properties=[Property(name="heart-disease-api:rows", value=str(trained["rows"]))],
    )


def _sha256(digest: str) -> list[HashType]:
    return [HashType(alg=HashAlgorithm.SHA_256, content=digest)]
