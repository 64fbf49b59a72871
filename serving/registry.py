"""Fetches a registered version from an MLflow server, before anything serves.

`MODEL=models:/NAME/2` names version 2 of the registered model NAME. Its artifacts are a bundle as
`make register` logs it: `model.toml` and the folder of one version. They are loaded and verified like any
other folder, and nothing is asked of MLflow afterwards. The API is MLflow's REST API 2.0; its client would
bring forty packages into the server (docs/decisions/4-compose.md).
"""

import json
import logging
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import urlopen

from bundle.errors import BundleError
from serving.settings import Settings, registered

log = logging.getLogger("serving")

TIMEOUT_SECONDS = 10
PLAIN_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")
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
        version = Registry(settings.mlflow_tracking_uri or "").fetch(name, number, Path(folder) / name)
        found = {"model": name, "number": number, "version": version, "from": settings.mlflow_tracking_uri}
        log.info("fetched", extra={"fields": found})
        yield settings.for_registered(Path(folder), name, version)


class Registry:
    """An MLflow server that serves its artifacts itself (the default of `mlflow server`)."""

    def __init__(self, uri: str) -> None:
        self._uri = uri.rstrip("/")

    def fetch(self, name: str, number: str, folder: Path) -> str:
        """Write the files of a registered version into a folder, and return the bundle's version."""
        reference = f"models:/{name}/{number}"
        answer = self._json("mlflow/model-versions/get-download-uri", reference, name=name, version=number)
        root = artifact_path(str(answer.get("artifact_uri", "")), reference)
        names = self._list(root, reference)
        versions = [it for it in names if VERSION_FOLDER.fullmatch(it)]
        if "model.toml" not in names or len(versions) != 1:
            raise BundleError(
                f"{reference} is not a bundle: it needs model.toml and the folder of one version; "
                "make register logs it so"
            )
        version = versions[0]
        (folder / version).mkdir(parents=True)
        files = ["model.toml", *(f"{version}/{file}" for file in self._list(f"{root}/{version}", reference))]
        for file in files:
            (folder / file).write_bytes(
                self._get(f"mlflow-artifacts/artifacts/{quote(f'{root}/{file}')}", reference)
            )
        return version

    def _list(self, path: str, reference: str) -> list[str]:
        """Return the plain names in a folder of artifacts: others are none of a bundle's."""
        files = self._json("mlflow-artifacts/artifacts", reference, path=path).get("files", [])
        names = [str(file["path"]).rpartition("/")[2] for file in files]
        return [name for name in names if PLAIN_NAME.fullmatch(name)]

    def _json(self, endpoint: str, reference: str, **parameters: str) -> dict[str, Any]:
        content = self._get(f"{endpoint}?{urlencode(parameters)}", reference)
        try:
            answer = json.loads(content)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise BundleError(f"MLFLOW_TRACKING_URI={self._uri}: what answers there is no MLflow server")
        return answer

    def _get(self, path: str, reference: str) -> bytes:
        try:
            with urlopen(f"{self._uri}/api/2.0/{path}", timeout=TIMEOUT_SECONDS) as response:  # noqa: S310
                content: bytes = response.read()
                return content
        except HTTPError as error:
            if b"RESOURCE_DOES_NOT_EXIST" in error.read():
                raise BundleError(f"{reference} is not registered at {self._uri}") from None
            raise BundleError(
                f"{reference}: {self._uri} answered {error.code} {error.reason}; is it an MLflow server?"
            ) from None
        except OSError as error:  # refused, unknown host, timed out
            reason = getattr(error, "reason", error)
            raise BundleError(
                f"MLFLOW_TRACKING_URI={self._uri}: no MLflow server answers there ({reason})"
            ) from None


def artifact_path(uri: str, reference: str) -> str:
    """Return the path under which the server itself serves artifacts."""
    parts = urlsplit(uri)
    if parts.scheme != "mlflow-artifacts":
        raise BundleError(
            f"{reference} has its artifacts at '{parts.scheme}:', not with the server: start it with "
            "--artifacts-destination, and register the model again"
        )
    return parts.path.strip("/")
