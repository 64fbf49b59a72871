"""Fetches a registered version from an MLflow server, before anything serves.

`MODEL=models:/NAME/2` names version 2 of the registered model NAME. Its artifacts are a bundle as
`make register` logs it: `model.toml` and the folder of one version. They are loaded and verified like any
other folder, and nothing is asked of MLflow afterwards. Only what bundle.json names is fetched.
"""

import logging
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bundle.declaration import load_declaration
from bundle.errors import BundleError
from bundle.manifest import MANIFEST_FILE, load_manifest
from registry.mlflow import MlflowServer
from registry.reference import RegisteredVersion

log = logging.getLogger("serving")

MOST_FILES = 64
"""Most files that a bundle.json may name; ours name seven."""

VERSION_FOLDER = re.compile(r"v[1-9][0-9]{0,8}")


@contextmanager
def fetched(reference: RegisteredVersion, tracking_uri: str) -> Iterator[tuple[Path, str]]:
    """Give the folder that holds the model's folder, and the bundle's version; gone when the context ends.

    BundleError says in a sentence why a registered version cannot be had.
    """
    with tempfile.TemporaryDirectory(prefix="registered-") as folder:
        mlflow = MlflowServer(tracking_uri)
        version = fetch(mlflow, reference, Path(folder) / reference.name)
        found = {"model": reference.name, "number": reference.number, "version": version}
        log.info("fetched", extra={"fields": {**found, "from": mlflow.shown}})
        yield Path(folder), version


def fetch(mlflow: MlflowServer, registered: RegisteredVersion, folder: Path) -> str:
    """Write the files of a registered version into a folder, and return the bundle's version."""
    reference = str(registered)
    root = mlflow.version_artifacts(registered.name, registered.number, reference)
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
    manifest = load_manifest(folder / version, load_declaration(folder))
    if len(manifest.files) > MOST_FILES:
        raise BundleError(
            f"{reference} is not a bundle: its {MANIFEST_FILE} names more than {MOST_FILES} files"
        )
    for file in manifest.files:
        mlflow.artifact(f"{root}/{version}/{file}", reference, folder / version / file)
    return version
