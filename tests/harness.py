"""Starts the real server as users do, and reads what it says."""

import atexit
import contextlib
import json
import multiprocessing
import os
import re
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any, Self, TypeVar

import requests
from prometheus_client.parser import text_string_to_metric_families

from bundle.declaration import load_declaration
from bundle.metric_names import MetricName

PROJECT = Path(__file__).resolve().parent.parent
HEART = PROJECT / "models" / "heart-disease"
CHART = PROJECT / "helm-charts" / "heart-disease-api"
DEADLINE_SECONDS = 30
TEST_LONG = os.environ.get("TEST_LONG") == "true"  # make test-long

SAMPLE = {
    "age": 63, "sex": 1, "cp": 3, "trestbps": 145, "chol": 233, "fbs": 1, "restecg": 0,
    "thalach": 150, "exang": 0, "oldpeak": 2.3, "slope": 0, "ca": 0, "thal": 1,
}  # fmt: skip

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]
Result = TypeVar("Result")


class MissingSeriesError(AssertionError):
    """A metric that was asked for has no series (yet)."""


def eventually(condition: Callable[[], Result], what: str, seconds: float = DEADLINE_SECONDS) -> Result:
    """Poll until the condition gives something true, and return that.

    A series that is missing is waited for too: some appear only after their first reading.
    """
    deadline = time.monotonic() + seconds
    while True:
        missing: MissingSeriesError | None = None
        try:
            if result := condition():
                return result
        except MissingSeriesError as error:
            missing = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}") from missing
        time.sleep(0.02)


def run(
    *command: str | Path, check: bool = True, settings: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command in the project's folder, with these variables besides this process' own."""
    result = subprocess.run(
        [str(part) for part in command],
        cwd=PROJECT,
        env=os.environ | dict(settings or {}),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert not check or result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
    return result


def panel_queries(dashboard: str) -> list[tuple[str, str]]:
    """Return title and expression of each query of a dashboard, with Grafana's variables filled in."""
    found = []
    for panel in json.loads((PROJECT / dashboard).read_text(encoding="utf-8"))["panels"]:
        for target in panel.get("targets", []):
            expression = re.sub(r"\$(namespace|job|pod|model_version|model|feature)", ".*", target["expr"])
            expression = expression.replace("$__rate_interval", "1m").replace("$__range", "1h")
            found.append((f"{dashboard}: {panel['title']}", expression))
    return found


def export(environment: Path) -> None:
    """Set the environment variables that a shell's file exports."""
    exported = environment.read_text(encoding="utf-8")
    for name, value in re.findall(r'^export (\w+)="(.*)"$', exported, flags=re.MULTILINE):
        os.environ[name] = value.replace("$PATH", os.environ["PATH"])


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def clean_environment(**settings: str) -> dict[str, str]:
    """Return an environment in which no setting of the caller's shell reaches the server."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}
    return kept | settings


WARM = multiprocessing.get_context("forkserver")
WARM.set_forkserver_preload(["serving.main", "serving.app"])
"""Imports the server's modules once: by itself each start needs three quarters of a second of CPU for it."""


class WarmServer:
    """`python api_server.py` in a process that has its modules already; answers as subprocess.Popen does."""

    def __init__(self, environment: dict[str, str]) -> None:
        reader, writer = WARM.Pipe(duplex=False)
        self._process = WARM.Process(target=become_server, args=(environment, writer))
        self._process.start()
        writer.close()
        self.stdout: IO[str] = os.fdopen(os.dup(reader.fileno()), encoding="utf-8")
        reader.close()
        assert self._process.pid
        self.pid = self._process.pid
        atexit.register(self.kill)  # before multiprocessing waits for it

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("api_server.py", timeout or 0)
        atexit.unregister(self.kill)
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def become_server(environment: dict[str, str], output: Connection) -> None:
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(PROJECT)
    os.dup2(output.fileno(), 1)
    os.dup2(output.fileno(), 2)
    output.close()
    sys.argv = ["api_server.py"]
    runpy.run_path("api_server.py", run_name="__main__")


class Server:
    """A running `python api_server.py`; its standard output is kept, as text and as parsed lines.

    With a command, or with several workers, it starts as users start it; else from the process of WARM.
    """

    def __init__(self, settings: dict[str, str], command: list[str] | None = None) -> None:
        self.settings = settings
        self.port = int(settings.get("PORT") or free_port())
        self.url = f"http://127.0.0.1:{self.port}"
        self.lines: list[str] = []
        folder = Path(settings.get("MODELS_DIR", PROJECT / "models"))
        self.main_model = folder / settings.get("MODEL", "heart-disease").partition(",")[0]
        environment = clean_environment(**settings | {"PORT": str(self.port)})
        self.process: subprocess.Popen[str] | WarmServer
        if command or "WORKERS" in settings:
            self.process = subprocess.Popen(
                [part.format(port=self.port) for part in command or [sys.executable, "api_server.py"]],
                cwd=PROJECT,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        else:
            self.process = WarmServer(environment)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @cached_property
    def _vocabulary(self) -> dict[str, MetricName]:
        return load_declaration(self.main_model).metrics

    def _read(self) -> None:
        assert self.process.stdout
        with self.process.stdout as output:
            for line in output:
                self.lines.append(line.rstrip("\n"))

    def wait_until_ready(self) -> "Server":
        eventually(lambda: self.is_ready() or self.process.poll() is not None, "the server is ready")
        assert self.process.poll() is None, self.lines
        return self

    def is_ready(self) -> bool:
        try:
            return requests.get(f"{self.url}/readyz", timeout=5).status_code == 200
        except (requests.ConnectionError, requests.Timeout):  # it listens before its workers have started
            return False

    def get(self, path: str, **options: Any) -> requests.Response:
        return requests.get(self.url + path, timeout=10, **options)

    def post(self, path: str, json: Any = None, **options: Any) -> requests.Response:
        return requests.post(self.url + path, json=json, timeout=30, **options)

    def metrics(self) -> Series:
        families = text_string_to_metric_families(self.get("/metrics").text)
        return {(s.name, frozenset(s.labels.items())): s.value for f in families for s in f.samples}

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of the series of this name that have these labels."""
        wanted = set(labels.items())
        found = [
            value
            for (series, series_labels), value in self.metrics().items()
            if series == name and wanted <= series_labels
        ]
        if not found:
            raise MissingSeriesError(f"no series {name} {labels}")
        return sum(found)

    def shows(self, value: float, concept: str, suffix: str = "", **dimensions: str) -> bool:
        """Return whether a concept has this value; also true where the vocabulary has no name for it.

        Dimensions without a label in the vocabulary are ignored; `le` is that of a bucket.
        """
        named = self._vocabulary.get(concept)
        if named is None:
            return True
        labels = {
            label: dimensions[dimension]
            for label, dimension in named.labels.items()
            if dimension in dimensions
        }
        bound = {"le": dimensions["le"]} if "le" in dimensions else {}
        return self.metric(named.name + suffix, **labels, **bound) == value

    def requests_logged(self, request_id: str) -> list[dict[str, Any]]:
        """Wait for the lines of one request, and return them."""

        def lines() -> list[dict[str, Any]]:
            parsed = [json.loads(line) for line in list(self.lines) if line.startswith("{")]
            return [line for line in parsed if line.get("request_id") == request_id]

        return eventually(lines, f"a log line of request {request_id}")

    def stop(self) -> int:
        """Interrupt the server, which then does not wait for its load balancer, and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(2)
        return self.wait()

    def wait(self) -> int:
        try:
            code = self.process.wait(DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        self._reader.join(DEADLINE_SECONDS)
        return code


def copy_project(folder: Path) -> Path:
    """Copy the project's own files into a folder, without environments, caches and a running cluster."""
    ignored = shutil.ignore_patterns(".git", ".venv", ".cluster", "*cache*", ".hypothesis")
    return Path(shutil.copytree(PROJECT, folder / "project", ignore=ignored))


class Load:
    """Clients that predict without pause until they are stopped; counts what happened."""

    def __init__(self, url: str, clients: int, row: Mapping[str, Any] = SAMPLE) -> None:
        self._url = url
        self._row = row
        self._stop = threading.Event()
        self.answered = 0
        self.failures: list[str] = []
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._predict) for _ in range(clients)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()

    def finish(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _predict(self) -> None:
        with requests.Session() as session:
            while not self._stop.is_set():
                outcome = self._attempt(session) or self._attempt(session)
                with self._lock:
                    self.answered += outcome == "200"
                    if outcome != "200":
                        self.failures.append(str(outcome))

    def _attempt(self, session: requests.Session) -> str | None:
        """Return the status, or None for an idle keep-alive connection that had closed: worth one retry."""
        try:
            return str(session.post(f"{self._url}/predict", json=self._row, timeout=10).status_code)
        except requests.ConnectionError:
            return None
        except requests.RequestException as error:  # an answer that was cut off, or late
            return type(error).__name__


def raw_exchange(port: int, sent: bytes) -> bytes:
    """Send bytes to the server and return all that it answers until it closes, or is silent for a second."""
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(sent)
        connection.settimeout(1)
        answer = b""
        try:
            while part := connection.recv(65536):
                answer += part
        except TimeoutError:
            pass
        return answer


def problem(response: requests.Response, status: int, error_type: str) -> dict[str, Any]:
    """Check that a response is a whole problem document, and return it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = response.json()
    assert {"type", "title", "status", "detail", "instance", "request_id"} <= set(document)
    assert document["type"] == f"urn:problem-type:{error_type}"
    assert document["status"] == status
    assert document["request_id"] == response.headers["x-request-id"]
    return document


def csv_rows() -> Iterator[Mapping[str, Any]]:
    """Yield the 303 rows of the data as clients send them."""
    from bundle.declaration import load_declaration  # noqa: PLC0415
    from training.data import load_recipe  # noqa: PLC0415

    declaration = load_declaration(HEART)
    yield from load_recipe(HEART).load_data(HEART / "data.csv", declaration)[0]
