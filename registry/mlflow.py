"""Asks an MLflow server for what it keeps, before anything is served or trained.

The server has to serve its artifacts itself, as `mlflow server` does by default. It is asked by MLflow's REST
API 2.0, because its client would bring forty packages with it (docs/decisions/12-mlflow.md). It is not
trusted: what it sends is bounded in bytes and time, and nothing of it stands in a message as it is.
"""

import json
import re
from http import HTTPStatus
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, urlencode, urlsplit

from bundle.errors import BundleError
from registry.address import http_address, shown
from registry.credentials import NOBODY, PASSWORD, TOKEN, USERNAME, Credentials
from registry.download import DownloadError, Origin, StatusError, phrase
from registry.reference import NUMBER, Reference, RegisteredVersion

DOCUMENT_BYTES = 4 * 1024 * 1024
"""Most bytes of an answer that is JSON, and of a model.toml and a bundle.json."""

FETCH_BYTES = 512 * 1024 * 1024
"""Most bytes of all artifacts that are fetched at once: a bundle, or a file of rows."""

FETCH_SECONDS = 120
"""Longest time for all of them."""

ABSENT = (b"RESOURCE_DOES_NOT_EXIST", b"INVALID_PARAMETER_VALUE")
"""Codes of MLflow's answers where something is not there: an alias is the second."""

PLAIN_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}")
DENIED = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}


class MlflowServer:
    """Each question names what is wanted, for the sentence of the BundleError that it may raise.

    Its time and its bytes are those of everything that is asked of it together.
    """

    def __init__(
        self,
        uri: str,
        credentials: Credentials = NOBODY,
        *,
        seconds: float = FETCH_SECONDS,
        most_bytes: int = FETCH_BYTES,
    ) -> None:
        try:
            address = http_address(uri)
        except ValueError as error:
            raise BundleError(f"MLFLOW_TRACKING_URI: {error}") from None
        self.shown = shown(address)
        self._origin = Origin(address, credentials.headers(address), "MLflow server", seconds)
        self._bytes_left = most_bytes

    def resolve(self, reference: Reference) -> RegisteredVersion:
        """Return the version that a reference names: by an alias, the one that has it now."""
        if isinstance(reference, RegisteredVersion):
            return reference
        name, alias = reference.name, reference.alias
        answer = self._json("mlflow/registered-models/alias", str(reference), name=name, alias=alias)
        found = answer.get("model_version")
        number = found.get("version") if isinstance(found, dict) else None
        if not isinstance(number, str) or not NUMBER.fullmatch(number):
            raise self._no_server()
        return RegisteredVersion(name, number, alias)

    def version_artifacts(self, version: RegisteredVersion) -> str:
        """Return the path of a registered version's artifacts."""
        asked = {"name": version.name, "version": version.number}
        answer = self._json("mlflow/model-versions/get-download-uri", str(version), **asked)
        return self._path(answer, str(version), "artifact_uri")

    def run_artifacts(self, run: str, wanted: str) -> str:
        """Return the path of a run's artifacts."""
        answer = self._json("mlflow/runs/get", f"run {run}", run_id=run)
        return self._path(answer, wanted, "run", "info", "artifact_uri")

    def names(self, folder: str, wanted: str) -> set[str]:
        """Return the plain names in a folder of artifacts: others are none of ours."""
        files = self._json("mlflow-artifacts/artifacts", wanted, path=folder).get("files", [])
        paths = (
            [file.get("path") for file in files if isinstance(file, dict)] if isinstance(files, list) else []
        )
        if not isinstance(files, list) or not all(isinstance(path, str) for path in paths):
            raise self._no_server()
        return {name for path in paths if PLAIN_NAME.fullmatch(name := str(path).rpartition("/")[2])}

    def document(self, path: str, wanted: str, file: Path) -> None:
        """Write a small artifact into a file."""
        self._artifact(path, wanted, file, DOCUMENT_BYTES)

    def artifact(self, path: str, wanted: str, file: Path) -> None:
        """Write an artifact into a file."""
        self._artifact(path, wanted, file, self._bytes_left)

    def _artifact(self, path: str, wanted: str, file: Path, most_bytes: int) -> None:
        with file.open("wb") as sink:
            self._get(
                f"mlflow-artifacts/artifacts/{quote(path)}", wanted, min(most_bytes, self._bytes_left), sink
            )
            self._bytes_left -= sink.tell()

    def _json(self, endpoint: str, wanted: str, **parameters: str) -> dict[str, Any]:
        """Return what an endpoint answers, an object."""
        content = BytesIO()
        self._get(f"{endpoint}?{urlencode(parameters)}", wanted, DOCUMENT_BYTES, content)
        answer = parsed(content)
        if not isinstance(answer, dict):
            raise self._no_server()
        return answer

    def _path(self, answer: object, wanted: str, *members: str) -> str:
        for member in members:
            answer = answer.get(member) if isinstance(answer, dict) else None
        if not isinstance(answer, str):
            raise self._no_server()
        return artifact_path(answer, wanted)

    def _no_server(self) -> BundleError:
        return BundleError(f"MLFLOW_TRACKING_URI={self.shown}: what answers there is no MLflow server")

    def _get(self, path: str, wanted: str, most_bytes: int, sink: BinaryIO) -> None:
        try:
            self._origin.get(f"/api/2.0/{path}", most_bytes, sink)
        except StatusError as error:
            raise self._refused(error, wanted) from None
        except DownloadError as error:
            raise BundleError(f"MLFLOW_TRACKING_URI={self.shown}: {error}") from None

    def _refused(self, error: StatusError, wanted: str) -> BundleError:
        if any(code in error.content for code in ABSENT):
            return BundleError(f"{self.shown} has no {wanted}")
        if error.status in DENIED:
            return BundleError(
                f"{wanted}: {self.shown} answered {phrase(error.status)}: give it a user that may read, "
                f"MLFLOW_TRACKING_URI=http://USER:PASSWORD@HOST:PORT, {USERNAME} and {PASSWORD}, or {TOKEN}"
            )
        return BundleError(f"{wanted}: {self.shown} answered {phrase(error.status)}; is it an MLflow server?")


def parsed(content: BytesIO) -> object:
    """Return what a JSON text says; None where it is none."""
    try:
        return json.loads(content.getvalue())
    except (ValueError, RecursionError):
        return None


def artifact_path(uri: str, wanted: str) -> str:
    """Return the path under which the server itself serves what has this artifact URI."""
    scheme = uri.partition(":")[0]
    if scheme != "mlflow-artifacts":
        raise BundleError(
            f"{wanted} has its artifacts at '{scheme[:20]}:', not with the server: start it with "
            "--artifacts-destination, and log them again"
        )
    try:
        path = urlsplit(uri).path.strip("/")
        path.encode()
    except ValueError:
        path = ".."
    if {".", ".."} & set(path.split("/")):
        raise BundleError(f"{wanted} has its artifacts at a path that cannot be asked for: log them again")
    return path
