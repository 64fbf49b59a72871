"""POST /models/{name}/retrain, up to where a cluster is needed: tests/cluster/test_rollout.py has one."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.harness import Server, free_port, problem

pytestmark = pytest.mark.heart

COMMAND = [sys.executable, "-m", "retrain_api"]
JOB = {"kind": "Job", "metadata": {"name": "retrain", "namespace": "mlops"}}
PATH = "/models/heart-disease/retrain"
KEY = "5d41402abc4b2a76b9719d911017c5927f83b1657ff1fc53b92dc18148a1d65d"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("retraining")
    (folder / "job.json").write_text(json.dumps(JOB), encoding="utf-8")
    (folder / "key").write_text(f"{KEY}\n", encoding="utf-8")
    return {"RETRAIN_JOB": str(folder / "job.json"), "RETRAIN_KEY": str(folder / "key")}


@pytest.fixture(scope="module")
def server(files: dict[str, str]) -> Iterator[Server]:
    api_server = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(free_port())}
    server = Server(files | api_server | {"DRAIN_SECONDS": "0"}, COMMAND).wait_until_ready()
    yield server
    server.process.terminate()
    assert server.wait() == 0


def request_retraining(server: Server, key: str | None, path: str = PATH) -> requests.Response:
    return server.post(path, headers={} if key is None else {"Authorization": key})


@pytest.mark.parametrize(
    "key", [None, "", KEY, "Bearer", "Bearer ", f"Bearer {KEY[:-1]}", f"Basic {KEY}", "Bearer é"]
)
def test_nothing_is_revealed_without_the_key(server: Server, key: str | None) -> None:
    for path in (PATH, "/models/iris/retrain"):
        response = server.post(path, headers={} if key is None else {"Authorization": key.encode()})
        problem(response, 401, "Unauthorized")
        assert response.headers["www-authenticate"] == "Bearer"


def test_a_model_that_is_not_retrained_here_is_not_found(server: Server) -> None:
    document = problem(request_retraining(server, f"Bearer {KEY}", "/models/iris/retrain"), 404, "NotFound")
    assert document["detail"] == "Only 'heart-disease' is retrained here."
    problem(server.get("/predict"), 404, "NotFound")
    problem(server.get(PATH), 405, "MethodNotAllowed")
    assert server.get("/").json()["links"] == {"retrain": "/models/{name}/retrain"}


def test_a_silent_cluster_is_reported_and_logged_without_the_key(server: Server) -> None:
    response = request_retraining(server, f"bearer {KEY}")
    problem(response, 503, "ClusterUnavailable")
    (line,) = server.requests_logged(response.headers["x-request-id"])
    assert (line["status"], line["route"]) == (503, "/models/{name}/retrain")
    assert "FileNotFoundError" in line["cause"]  # the token of a pod, which this is not
    assert KEY not in "\n".join(server.lines)


def test_requests_are_counted(server: Server) -> None:
    before = server.metric("api_requests_total", status_code="401")
    request_retraining(server, None)
    assert server.metric("api_requests_total", status_code="401") == before + 1


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("RETRAIN_KEY", "short", "RETRAIN_KEY={} is shorter than 32 characters: openssl rand -hex 32"),
        ("RETRAIN_KEY", "0" * 32, "RETRAIN_KEY={} repeats itself, and can be guessed: openssl rand -hex 32"),
        ("RETRAIN_KEY", None, "RETRAIN_KEY={} cannot be read: No such file or directory"),
        ("RETRAIN_JOB", None, "RETRAIN_JOB={} cannot be read: No such file or directory"),
        ("RETRAIN_JOB", "{", "RETRAIN_JOB={} is no Job with a name and a namespace, as JSON"),
        (
            "RETRAIN_JOB",
            json.dumps(JOB | {"kind": "Pod"}),
            "RETRAIN_JOB={} is no Job with a name and a namespace, as JSON",
        ),
    ],
)
def test_invalid_files_stop_startup(
    files: dict[str, str], tmp_path: Path, name: str, content: str | None, sentence: str
) -> None:
    file = tmp_path / "file"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    stopped = Server(files | {name: str(file)}, COMMAND)
    assert stopped.wait() == 1
    assert stopped.lines == [f"error: {sentence.format(file)}"]


def test_both_files_are_required() -> None:
    stopped = Server({}, COMMAND)
    assert stopped.wait() == 1
    assert stopped.lines == ["error: RETRAIN_JOB must be set; RETRAIN_KEY must be set"]
