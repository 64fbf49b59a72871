"""Python's distributions as components: what is installed, held to the lock that it was installed from."""

import platform
from collections.abc import Iterable
from importlib.metadata import Distribution, distributions
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License, LicenseAcknowledgement
from packageurl import PackageURL
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools.sbom.errors import SbomError
from tools.sbom.lock import Locked

DECLARED = LicenseAcknowledgement.DECLARED


def installed(environment: Path) -> dict[str, Distribution]:
    """Return the distributions of a virtual environment by name."""
    folders = [str(folder) for folder in environment.glob("lib/python3*/site-packages")]
    return {canonicalize_name(found.name): found for found in distributions(path=folders)}


def check_complete(found: Iterable[str], lock: Iterable[Locked]) -> None:
    """Refuse a list that would leave out what is installed, and not by the lock."""
    if unknown := sorted(set(found) - {entry.name for entry in lock}):
        raise SbomError(f"{', '.join(unknown)}: installed, and in no lock; install what the lock names alone")


def package_components(lock: Iterable[Locked], found: dict[str, Distribution]) -> list[Component]:
    return [_component(entry, _matching(entry, found)) for entry in lock]


def requirements_of(distribution: Distribution) -> set[str]:
    """Return the names that a distribution needs here, extras aside."""
    needed = [Requirement(text) for text in distribution.requires or []]
    return {
        canonicalize_name(requirement.name)
        for requirement in needed
        if not requirement.marker or requirement.marker.evaluate({"extra": ""})
    }


def interpreter() -> Component:
    """Return the Python that runs this, the image's: in the official one it is no package of Debian's."""
    version = platform.python_version()
    purl = PackageURL("generic", None, "python", version)
    licences = [LicenseFactory().make_with_id("PSF-2.0", acknowledgement=DECLARED)]
    return Component(type=ComponentType.PLATFORM, name="python", version=version, purl=purl,
                     bom_ref=str(purl), licenses=licences)  # fmt: skip


def _matching(entry: Locked, found: dict[str, Distribution]) -> Distribution:
    distribution = found.get(entry.name)
    if distribution is None or distribution.version != entry.version:
        version = distribution.version if distribution else "absent"
        raise SbomError(f"{entry.name} is {version} and locked as {entry.version}; install the lock anew")
    return distribution


def _component(entry: Locked, distribution: Distribution) -> Component:
    purl = PackageURL("pypi", None, entry.name, entry.version)
    files = ExternalReference(
        type=ExternalReferenceType.DISTRIBUTION,
        url=XsUri(str(purl)),
        comment="the files that the lock accepts, one of which is installed",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in entry.hashes],
    )
    return Component(
        type=ComponentType.LIBRARY,
        name=entry.name,
        version=entry.version,
        description=_field(distribution, "summary"),
        purl=purl,
        bom_ref=str(purl),
        licenses=_licences(distribution),
        external_references=[files],
    )


def _licences(distribution: Distribution) -> list[License]:
    """Return the licence that the metadata declares: by its SPDX expression, or as it is written there."""
    text = _field(distribution, "license_expression") or _field(distribution, "license")
    if not text or "\n" in text:
        classifiers = distribution.metadata.get_all("Classifier") or []
        named = [line.rpartition(" :: ")[2] for line in classifiers if line.startswith("License ::")]
        text = named[0] if named else None
    return [LicenseFactory().make_from_string(text, license_acknowledgement=DECLARED)] if text else []


def _field(distribution: Distribution, name: str) -> str | None:
    value = distribution.metadata.json.get(name)
    return value if isinstance(value, str) else None
