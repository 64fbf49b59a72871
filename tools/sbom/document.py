"""The document: components, what needs what, and a serial number that is the same for the same content."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import Distribution
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.contrib.this.builders import this_component
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6

from tools.sbom.models import Bundle, data_components, model_card, model_component
from tools.sbom.packages import requirements_of


@dataclass(frozen=True)
class Project:
    """The `[project]` of pyproject.toml."""

    name: str
    version: str
    description: str
    license: str


def document(
    project: Project,
    packages: list[Component],
    found: dict[str, Distribution],
    system: list[Component],
    bundles: list[Bundle],
) -> str:
    """Return the bill of materials as JSON, the same bytes for the same content."""
    licence = LicenseFactory().make_from_string(project.license)
    models = [model_component(bundle, licence) for bundle in bundles]
    data = data_components(bundles)
    root = Component(
        type=ComponentType.APPLICATION,
        name=project.name,
        version=project.version,
        description=project.description,
        bom_ref=f"{project.name}@{project.version}",
        licenses=[licence],
    )
    bom = Bom(components=[*packages, *system, *models, *data])
    bom.metadata.component = root
    bom.metadata.tools.components.add(this_component())
    _relate(bom, root, packages, found)
    bom.register_dependency(root, [*system, *models])
    return _text(bom, bundles)


def _relate(bom: Bom, root: Component, packages: list[Component], found: dict[str, Distribution]) -> None:
    """Register what each package needs; the application needs those that no other one does."""
    by_name = {package.name: package for package in packages}
    needs = {name: (requirements_of(found[name]) & set(by_name)) - {name} for name in by_name}
    for name, needed in needs.items():
        bom.register_dependency(by_name[name], _in(by_name, needed))
    needed_by_others = {name for needed in needs.values() for name in needed}
    bom.register_dependency(root, _in(by_name, set(by_name) - needed_by_others))


def _in(by_name: dict[str, Component], names: Iterable[str]) -> list[Component]:
    return [by_name[name] for name in sorted(names)]


def _text(bom: Bom, bundles: list[Bundle]) -> str:
    """Return the JSON of the library, with what it has no classes for, and without what changes by itself."""
    content: dict[str, Any] = json.loads(JsonV1Dot6(bom).output_as_string())
    del content["serialNumber"], content["metadata"]["timestamp"]
    cards = {bundle.reference: model_card(bundle) for bundle in bundles}
    for component in content["components"]:
        if component["bom-ref"] in cards:
            component["modelCard"] = cards[component["bom-ref"]]
            _relate_data(content, component)
    serial = uuid5(NAMESPACE_URL, json.dumps(content, sort_keys=True))
    return json.dumps(content | {"serialNumber": f"urn:uuid:{serial}"}, indent=1, sort_keys=True) + "\n"


def _relate_data(content: dict[str, Any], model: dict[str, Any]) -> None:
    """Say that a model was made from its data."""
    (trained_on,) = model["modelCard"]["modelParameters"]["datasets"]
    (entry,) = [entry for entry in content["dependencies"] if entry["ref"] == model["bom-ref"]]
    entry["dependsOn"] = [trained_on["ref"]]
