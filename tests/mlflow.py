"""Helpers for a real MLflow server, and a server that answers whatever a test wants."""

import json
import re
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from threading import Event, Thread
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import requests

from tests.harness import HEART


def log_few_rows(uri: str) -> str:
    """Log fifty rows of the heart's data with a new run, and return where they are: runs:/RUN/PATH."""
    rows = (HEART / "data.csv").read_bytes().splitlines(keepends=True)[:51]
    api = f"{uri}/api/2.0"
    body = {"experiment_id": "0", "run_name": "rows"}
    run = requests.post(f"{api}/mlflow/runs/create", json=body, timeout=10).json()["run"]["info"]
    place = urlsplit(run["artifact_uri"]).path.strip("/")
    stored = f"{api}/mlflow-artifacts/artifacts/{place}/tables/rows.csv"
    requests.put(stored, data=b"".join(rows), timeout=10).raise_for_status()
    return f"runs:/{run['run_id']}/tables/rows.csv"


TOO_FEW = (
    "gate failed: too few rows: 20 of 'disease' where 50 are needed to see a fifth of them lost; "
    "FEW_ROWS=yes (--allow-few-rows) lets them pass, and the card says so"
)
"""The message of retraining about these rows."""


Answer = bytes | Iterable[bytes]


def answered(
    body: bytes | Mapping[str, Any], status: str = "200 OK", *headers: str, length: int | None = None
) -> bytes:
    """Return an answer as it is sent; `length` is its Content-Length, if that is to be wrong."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(content) if length is None else length}", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + content


class RawServer:
    """Sends for each path what a function returns, bytes as they are; keeps the requests."""

    def __init__(self, answer: Callable[[str], Answer], tls: ssl.SSLContext | None = None) -> None:
        self._answer = answer
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.url = f"http://{self.host}"
        self.requests: list[str] = []
        self.ended = Event()

    def __enter__(self) -> Self:
        Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self._listener.close()

    @property
    def paths(self) -> list[str]:
        return [unquote(request.split(" ")[1]) for request in self.requests]

    def byte_by_byte(self) -> Iterator[bytes]:
        """Yield a byte now and then, without end."""
        while not self.ended.wait(0.02):
            yield b"1"

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                Thread(target=self._converse, args=(connection,), daemon=True).start()

    def _secured(self, connection: socket.socket) -> socket.socket:
        return self._tls.wrap_socket(connection, server_side=True) if self._tls else connection

    def _converse(self, accepted: socket.socket) -> None:
        with suppress(OSError), self._secured(accepted) as connection, connection.makefile("rb") as reader:
            connection.settimeout(30)
            lines = takewhile(lambda line: line not in (b"", b"\r\n"), iter(reader.readline, None))
            request = b"".join(lines).decode("latin-1")
            body = re.search(r"(?i)content-length: (\d+)", request)
            reader.read(int(body[1]) if body else 0)  # unread bytes would reset the connection
            self.requests.append(request)
            answer = self._answer(self.paths[-1])
            for piece in [answer] if isinstance(answer, bytes) else answer:
                connection.sendall(piece)


def has_alias(number: object) -> bytes:
    """Return MLflow's answer that this version of a registered model has an alias."""
    return answered({"model_version": {"name": "any", "version": number, "aliases": ["champion"]}})


NO_ALIAS = answered(
    {"error_code": "INVALID_PARAMETER_VALUE", "message": "Registered model alias \x1b not found."},
    "400 Bad Request",
)
"""MLflow's answer for an alias that is not set."""


def registry(folder: Path, version: str, changed: Mapping[str, Answer]) -> Callable[[str], Answer]:
    """Return how MLflow answers for a registered bundle, except on paths that end with a key of `changed`.

    The version with the alias `champion` is 3, of each name.
    """
    artifacts = "/api/2.0/mlflow-artifacts/artifacts"

    def answer(path: str) -> Answer:
        for end, instead in changed.items():
            if path.endswith(end):
                return instead
        if path.startswith("/api/2.0/mlflow/registered-models/alias?"):
            return has_alias("3") if path.endswith("&alias=champion") else NO_ALIAS
        if path.startswith("/api/2.0/mlflow/model-versions/get-download-uri?"):
            return answered({"artifact_uri": "mlflow-artifacts:/0/run/bundle"})
        if path == f"{artifacts}?path=0/run/bundle":
            return answered({"files": [{"path": "model.toml"}, {"path": version, "is_dir": True}]})
        return answered((folder / path.removeprefix(f"{artifacts}/0/run/bundle/")).read_bytes())

    return answer
