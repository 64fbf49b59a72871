"""What the image's base brings: the base itself, by its digest, and the packages of Debian in it."""

import platform
import re
import subprocess

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.component import Component, ComponentType
from packageurl import PackageURL

from tools.sbom.errors import SbomError

QUERY = "${db:Status-Abbrev}\t${Package}\t${Version}\t${Architecture}\n"
IMAGE = re.compile(r"^(?P<name>[^@]+?)(:(?P<tag>[^:@/]+))?(@sha256:(?P<digest>[0-9a-f]{64}))?$")


def base_component(image: str) -> Component:
    """Return a component for a base such as python:3.13-slim@sha256:..., whose digest may be absent."""
    named = IMAGE.match(image)
    if not named:
        raise SbomError(f"{image} is no name of an image; give NAME:TAG@sha256:DIGEST")
    name, tag, digest = named["name"].rpartition("/")[2], named["tag"], named["digest"]
    version = f"sha256:{digest}" if digest else tag
    purl = PackageURL("oci", None, name, version, {"tag": tag} if tag else None)
    hashes = [HashType(alg=HashAlgorithm.SHA_256, content=digest)] if digest else []
    return Component(type=ComponentType.CONTAINER, name=name, version=tag or version, purl=purl,
                     bom_ref=str(purl), hashes=hashes)  # fmt: skip


def debian_components() -> list[Component]:
    """Return a component for each package of Debian that this system has; the licences are in its files."""
    listed = subprocess.run(
        ["dpkg-query", "--show", f"--showformat={QUERY}"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    release = f"debian-{platform.freedesktop_os_release()['VERSION_ID']}"
    rows = [line.split("\t") for line in listed.splitlines()]
    return [
        _debian(name, version, {"arch": architecture, "distro": release})
        for state, name, version, architecture in rows
        if state.strip() == "ii"
    ]


def _debian(name: str, version: str, qualifiers: dict[str, str]) -> Component:
    purl = PackageURL("deb", "debian", name, version, qualifiers)
    return Component(type=ComponentType.LIBRARY, name=name, version=version, purl=purl, bom_ref=str(purl))
