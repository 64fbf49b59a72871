"""Asks an MLflow server for what it keeps, before anything is served or trained.

The server has to serve its artifacts itself, as `mlflow server` does by default. It is asked by MLflow's REST
API 2.0, because its client would bring forty packages with it (docs/decisions/4-compose.md).
"""

import json
import re
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import urlopen

from bundle.errors import BundleError

TIMEOUT_SECONDS = 10
PLAIN_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")


class MlflowServer:
    """Each question names what is wanted, for the sentence of the BundleError that it may raise."""

    def __init__(self, uri: str) -> None:
        self._uri = uri.rstrip("/")

    def json(self, endpoint: str, wanted: str, **parameters: str) -> dict[str, Any]:
        """Return what an endpoint answers, an object."""
        content = self._get(f"{endpoint}?{urlencode(parameters)}", wanted)
        try:
            answer = json.loads(content)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise BundleError(f"MLFLOW_TRACKING_URI={self._uri}: what answers there is no MLflow server")
        return answer

    def names(self, folder: str, wanted: str) -> list[str]:
        """Return the plain names in a folder of artifacts: others are none of ours."""
        files = self.json("mlflow-artifacts/artifacts", wanted, path=folder).get("files", [])
        names = [str(file["path"]).rpartition("/")[2] for file in files]
        return [name for name in names if PLAIN_NAME.fullmatch(name)]

    def artifact(self, path: str, wanted: str) -> bytes:
        """Return an artifact's content."""
        return self._get(f"mlflow-artifacts/artifacts/{quote(path)}", wanted)

    def _get(self, path: str, wanted: str) -> bytes:
        try:
            with urlopen(f"{self._uri}/api/2.0/{path}", timeout=TIMEOUT_SECONDS) as response:  # noqa: S310
                content: bytes = response.read()
                return content
        except HTTPError as error:
            if b"RESOURCE_DOES_NOT_EXIST" in error.read():
                raise BundleError(f"{self._uri} has no {wanted}") from None
            raise BundleError(
                f"{wanted}: {self._uri} answered {error.code} {error.reason}; is it an MLflow server?"
            ) from None
        except OSError as error:  # refused, unknown host, timed out
            reason = getattr(error, "reason", error)
            raise BundleError(
                f"MLFLOW_TRACKING_URI={self._uri}: no MLflow server answers there ({reason})"
            ) from None


def artifact_path(uri: str, wanted: str) -> str:
    """Return the path under which the server itself serves what has this artifact URI."""
    parts = urlsplit(uri)
    if parts.scheme != "mlflow-artifacts":
        raise BundleError(
            f"{wanted} has its artifacts at '{parts.scheme}:', not with the server: start it with "
            "--artifacts-destination, and log them again"
        )
    return parts.path.strip("/")
