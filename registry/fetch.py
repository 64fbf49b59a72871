"""Fetches a registered version from an MLflow server, before anything serves.

`MODEL=models:/NAME/2` names version 2 of the registered model NAME, `MODEL=models:/NAME@champion` the version
that has this alias now. Its artifacts are a bundle as `make register` logs it: `model.toml` and the folder of
one version. They are loaded and verified like any other folder, and nothing is asked of MLflow afterwards.
Only what bundle.json names is fetched.
"""

import logging
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bundle.declaration import read_declaration
from bundle.errors import BundleError
from bundle.manifest import MANIFEST_FILE, Manifest, load_manifest
from registry.mlflow import MlflowServer
from registry.reference import Reference, RegisteredVersion

log = logging.getLogger("serving")

MOST_FILES = 64
"""Most files that a bundle.json may name; ours name seven."""

VERSION_FOLDER = re.compile(r"v[1-9][0-9]{0,8}")


@dataclass(frozen=True)
class FetchedModel:
    """A registered version that lies in `folder/model/version`, by the names that the bundle declares."""

    folder: Path
    model: str
    version: str
    registered: RegisteredVersion


@contextmanager
def fetched(reference: Reference, mlflow: MlflowServer) -> Iterator[FetchedModel]:
    """Give a registered version as a model's folder, which is gone when the context ends.

    BundleError says in a sentence why it cannot be had.
    """
    with tempfile.TemporaryDirectory(prefix="registered-") as temporary:
        folder = Path(temporary)
        registered = mlflow.resolve(reference)
        manifest = fetch(mlflow, registered, folder / "bundle")
        (folder / "bundle").rename(folder / manifest.model)
        found = {"model": registered.name, "number": registered.number, "alias": registered.alias}
        known = {name: value for name, value in found.items() if value is not None}
        log.info("fetched", extra={"fields": {**known, "version": manifest.version, "from": mlflow.shown}})
        yield FetchedModel(folder, manifest.model, manifest.version, registered)


def fetch(mlflow: MlflowServer, registered: RegisteredVersion, folder: Path) -> Manifest:
    """Write the files of a registered version into a folder, and return the bundle's manifest."""
    reference = str(registered)
    root = mlflow.version_artifacts(registered)
    names = mlflow.names(root, reference)
    versions = [known for known in names if VERSION_FOLDER.fullmatch(known)]
    if "model.toml" not in names or len(versions) != 1:
        raise BundleError(
            f"{reference} is not a bundle: it needs model.toml and the folder of one version; "
            "make register logs it so"
        )
    version = versions[0]
    (folder / version).mkdir(parents=True)
    for document in ("model.toml", f"{version}/{MANIFEST_FILE}"):
        mlflow.document(f"{root}/{document}", reference, folder / document)
    manifest = load_manifest(folder / version, read_declaration(folder))
    if len(manifest.files) > MOST_FILES:
        raise BundleError(
            f"{reference} is not a bundle: its {MANIFEST_FILE} names more than {MOST_FILES} files"
        )
    for file in manifest.files:
        mlflow.artifact(f"{root}/{version}/{file}", reference, folder / version / file)
    return manifest
