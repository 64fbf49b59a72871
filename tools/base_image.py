"""Pins the base of our images: the registry says what the tag's index is, the Dockerfiles get its digest.

`make base-image` runs it. With `--check` it writes nothing, and fails where the pin is older than the tag.
"""

import argparse
import hashlib
import re
import sys
from pathlib import Path

import requests

PROJECT = Path(__file__).resolve().parent.parent
DOCKERFILES = ("Dockerfile", "compose/churn/mlflow/Dockerfile")
TAG = "python:3.13-slim"
PIN = re.compile(rf"^ARG PYTHON_IMAGE={re.escape(TAG)}(@sha256:[0-9a-f]{{64}})?$", re.MULTILINE)
DOCKER_HUB = "https://registry-1.docker.io"
INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
IMAGES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
TIMEOUT_SECONDS = 20


class BaseImageError(Exception):
    """Why the digest cannot be read or written, as one sentence."""


def index_digest(registry: str, tag: str) -> str:
    """Return the digest of a tag's index, which names the image of every platform."""
    repository, version = tag.rsplit(":", 1)
    if "/" not in repository:
        repository = f"library/{repository}"
    response = _read(f"{registry}/v2/{repository}/manifests/{version}")
    kind = response.headers.get("Content-Type", "")
    if kind not in INDEXES:
        raise BaseImageError(
            f"{tag} of {registry} is {kind or 'of no type'}, and no index of several platforms"
        )
    digest = f"sha256:{hashlib.sha256(response.content).hexdigest()}"
    if response.headers.get("Docker-Content-Digest", digest) != digest:
        raise BaseImageError(
            f"{registry} sent an index of {tag} that is not of the digest it names; try again"
        )
    return digest


def _read(address: str) -> requests.Response:
    """Return a manifest; the registry says where the token for anonymous readers is had."""
    headers = {"Accept": ", ".join(INDEXES + IMAGES)}
    try:
        response = requests.get(address, headers=headers, timeout=TIMEOUT_SECONDS)
        if response.status_code == requests.codes.unauthorized:
            headers["Authorization"] = f"Bearer {_token(response.headers.get('WWW-Authenticate', ''))}"
            response = requests.get(address, headers=headers, timeout=TIMEOUT_SECONDS)
    except requests.RequestException as error:
        host = address.split("/")[2]
        raise BaseImageError(
            f"{host} cannot be asked ({type(error).__name__}); run this where it is reachable"
        ) from error
    if response.status_code != requests.codes.ok:
        raise BaseImageError(
            f"{address} was answered with {response.status_code}; check the tag, or try again later"
        )
    return response


def _token(challenge: str) -> str:
    asked = dict(CHALLENGE.findall(challenge))
    realm = asked.pop("realm", "")
    if not challenge.startswith("Bearer ") or not realm:
        raise BaseImageError("the registry wants a password, which this command has none of")
    response = requests.get(realm, params=asked, timeout=TIMEOUT_SECONDS)
    token = response.json().get("token") if response.ok else None
    if not token:
        raise BaseImageError(f"{realm} gave no token to read with; try again later")
    return str(token)


def pinned(project: Path) -> dict[str, str]:
    """Return each Dockerfile's base, with its digest."""
    return {name: _pin(project / name).group().removeprefix("ARG PYTHON_IMAGE=") for name in DOCKERFILES}


def pin(project: Path, digest: str) -> list[str]:
    """Write the digest, and return the names of the files that had another."""
    image = f"{TAG}@{digest}"
    stale = [name for name, found in pinned(project).items() if found != image]
    for name in stale:
        path = project / name
        text = PIN.sub(f"ARG PYTHON_IMAGE={image}", path.read_text(encoding="utf-8"))
        path.write_text(text, encoding="utf-8")
    return stale


def _pin(path: Path) -> re.Match[str]:
    found = PIN.search(path.read_text(encoding="utf-8"))
    if not found:
        raise BaseImageError(f"{path} has no line ARG PYTHON_IMAGE={TAG}@sha256:... to renew; add it")
    return found


def renew(project: Path, registry: str, *, check: bool) -> str:
    """Return what to tell: the pin is current, or which files have been changed."""
    digest = index_digest(registry, TAG)
    if check:
        if set(pinned(project).values()) != {f"{TAG}@{digest}"}:
            raise BaseImageError(f"{TAG} is now {digest}: run make base-image, and commit what it changes")
        return f"{TAG} is still {digest}"
    stale = pin(project, digest)
    return f"{', '.join(stale)}: now {digest}" if stale else f"{TAG} is still {digest}"


def main() -> int:
    parser = argparse.ArgumentParser(description="Pin the base of our images by digest.")
    parser.add_argument(
        "--check", action="store_true", help="write nothing, and fail where the pin is not the tag's"
    )
    parser.add_argument("--registry", default=DOCKER_HUB, help="where to ask, such as a mirror")
    arguments = parser.parse_args()
    try:
        print(renew(PROJECT, arguments.registry, check=arguments.check))
    except BaseImageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
