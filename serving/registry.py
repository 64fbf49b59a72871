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
from bundle.mlflow import MlflowServer
from serving.settings import Settings, registered

log = logging.getLogger("serving")

MOST_FILES = 64
"""Most files that a bundle.json may name; ours name seven."""

VERSION_FOLDER = re.compile(r"v[1-9][0-9]{0,8}")


@contextmanager
def fetched(settings: Settings) -> Iterator[Settings]:
    """Give settings under which every model is a folder; what was fetched goes when the context ends.

    BundleError says in a sentence why a registered version cannot be had.
    """
    reference = registered(settings.model)
    if reference is None:
        yield settings
        return
    name, number = reference
    with tempfile.TemporaryDirectory(prefix="registered-") as folder:
        mlflow = MlflowServer(settings.mlflow_tracking_uri or "")
        version = fetch(mlflow, name, number, Path(folder) / name)
        found = {"model": name, "number": number, "version": version, "from": mlflow.shown}
        log.info("fetched", extra={"fields": found})
        yield settings.for_registered(Path(folder), name, version)


def fetch(mlflow: MlflowServer, name: str, number: str, folder: Path) -> str:
    """Write the files of a registered version into a folder, and return the bundle's version."""
    reference = f"models:/{name}/{number}"
    root = mlflow.version_artifacts(name, number, reference)
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
