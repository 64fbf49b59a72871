"""Fetches a registered version from an MLflow server, before anything serves.

`MODEL=models:/NAME/2` names version 2 of the registered model NAME. Its artifacts are a bundle as
`make register` logs it: `model.toml` and the folder of one version. They are loaded and verified like any
other folder, and nothing is asked of MLflow afterwards.
"""

import logging
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bundle.errors import BundleError
from bundle.mlflow import MlflowServer, artifact_path
from serving.settings import Settings, registered

log = logging.getLogger("serving")

VERSION_FOLDER = re.compile(r"v[1-9][0-9]*")


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
        found = {"model": name, "number": number, "version": version, "from": settings.mlflow_tracking_uri}
        log.info("fetched", extra={"fields": found})
        yield settings.for_registered(Path(folder), name, version)


def fetch(mlflow: MlflowServer, name: str, number: str, folder: Path) -> str:
    """Write the files of a registered version into a folder, and return the bundle's version."""
    reference = f"models:/{name}/{number}"
    answer = mlflow.json("mlflow/model-versions/get-download-uri", reference, name=name, version=number)
    root = artifact_path(str(answer.get("artifact_uri", "")), reference)
    names = mlflow.names(root, reference)
    versions = [it for it in names if VERSION_FOLDER.fullmatch(it)]
    if "model.toml" not in names or len(versions) != 1:
        raise BundleError(
            f"{reference} is not a bundle: it needs model.toml and the folder of one version; "
            "make register logs it so"
        )
    version = versions[0]
    (folder / version).mkdir(parents=True)
    files = ["model.toml", *(f"{version}/{file}" for file in mlflow.names(f"{root}/{version}", reference))]
    for file in files:
        (folder / file).write_bytes(mlflow.artifact(f"{root}/{file}", reference))
    return version
