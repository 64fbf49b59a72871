"""An unavailable registered model stops startup with a sentence; tests/compose has a real MLflow."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness import HEART, Server, free_port
from tests.mlflow import Answer, RawServer, answered, registry

pytestmark = pytest.mark.heart


SECRET = "MARKED-hunter2"  # noqa: S105


def refusal(**settings: str) -> str:
    server = Server(settings)
    assert server.wait() == 1
    assert "Traceback" not in "\n".join(server.lines)
    assert SECRET not in "\n".join(server.lines)
    return server.lines[-1]


def test_an_address_where_nothing_listens() -> None:
    uri = f"http://127.0.0.1:{free_port()}"
    said = refusal(MODEL="models:/churn/2", MLFLOW_TRACKING_URI=uri)
    assert said.startswith(f"error: MLFLOW_TRACKING_URI={uri}: no MLflow server answers there (")
    assert "Connection refused" in said


def test_an_unknown_host() -> None:
    said = refusal(MODEL="models:/churn/2", MLFLOW_TRACKING_URI="http://nowhere.invalid:5000")
    assert "no MLflow server answers there" in said


def test_an_address_of_another_server(start: Callable[..., Server]) -> None:
    other = start()
    said = refusal(MODEL="models:/churn/2", MLFLOW_TRACKING_URI=other.url)
    assert said == f"error: models:/churn/2: {other.url} answered 404 Not Found; is it an MLflow server?"


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"MODEL": "models:/churn/2"}, "needs MLFLOW_TRACKING_URI"),
        ({"MODEL": "models:/churn/latest"}, "MODEL="),
        ({"MODEL": "models:/Churn_1@champion"}, "needs MLFLOW_TRACKING_URI"),
        ({"MODEL": "models:/churn/2,iris", "MLFLOW_TRACKING_URI": "http://x:1"}, "served alone"),
        (
            {"MODEL": "models:/churn/2", "MLFLOW_TRACKING_URI": "http://x:1", "MODEL_VERSION": "v2"},
            "without MODEL_VERSION",
        ),
        (
            {"MODEL": "models:/churn/2", "MLFLOW_TRACKING_URI": "file:///tmp"},
            "MLFLOW_TRACKING_URI=file:///tmp",
        ),
    ],
)
def test_invalid_settings(settings: dict[str, str], sentence: str) -> None:
    assert sentence in refusal(**settings)


def test_an_alias_is_served_as_the_version_that_has_it(start: Callable[..., Server], tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text(f"{SECRET}\n", encoding="ascii")
    iris = HEART.parent / "iris"
    with RawServer(registry(iris, "v1", {})) as mlflow:
        server = start(
            MODEL="models:/Iris_Größe 2@champion",
            MLFLOW_TRACKING_URI=mlflow.url,
            MLFLOW_TRACKING_USERNAME="user",
            MLFLOW_TRACKING_PASSWORD_FILE=str(password),
            WORKERS="2",
        )
    fetched, *started = [
        json.loads(line)
        for line in server.lines
        if '"message":"fetched"' in line or '"message":"started"' in line
    ]
    found = {name: fetched[name] for name in ("model", "number", "alias", "version", "from")}
    assert found == {
        "model": "Iris_Größe 2", "number": "3", "alias": "champion", "version": "v1", "from": mlflow.url,
    }  # fmt: skip
    assert started
    assert all(line["registered"] == "models:/Iris_Größe 2/3 (alias champion)" for line in started)
    assert server.get("/models/iris").json()["version"] == "v1"
    manifest = json.loads((iris / "v1" / "bundle.json").read_bytes())
    expected = {"model": "iris", "model_version": "v1", "bundle_sha256": manifest["sha256"]}
    assert server.metric("served_bundle_info", **expected) == 1
    assert sum("/alias?" in request for request in mlflow.requests) == 1
    assert all("Authorization: Basic " in request for request in mlflow.requests)
    for path in ("/metrics", "/models", "/models/iris", "/openapi.json", "/"):
        assert SECRET not in server.get(path).text
    assert server.stop() == 0
    assert SECRET not in "\n".join(server.lines)


def test_an_alias_that_is_not_set() -> None:
    with RawServer(registry(HEART.parent / "iris", "v1", {})) as mlflow:
        said = refusal(
            MODEL="models:/iris@nobody", MLFLOW_TRACKING_URI=mlflow.url, MLFLOW_TRACKING_TOKEN=SECRET
        )
    assert said == f"error: {mlflow.url} has no models:/iris@nobody"
    assert f"Authorization: Bearer {SECRET}\r\n" in mlflow.requests[0]


def test_a_registered_version_is_served_and_no_line_names_the_user(start: Callable[..., Server]) -> None:
    iris = HEART.parent / "iris"
    with RawServer(registry(iris, "v1", {})) as mlflow:
        uri = f"http://user:{SECRET}%40@{mlflow.host}"
        server = start(MODEL="models:/iris/1", MLFLOW_TRACKING_URI=uri)
        (line,) = [line for line in server.lines if '"message":"fetched"' in line]
    assert f'"from":"{mlflow.url}"' in line
    assert server.get("/models/iris").json()["version"] == "v1"
    assert all("Authorization: Basic " in request for request in mlflow.requests)
    assert server.stop() == 0
    assert SECRET not in "\n".join(server.lines)


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (
            answered(b"", f"500 \x1b]0;{SECRET}\x07"),
            "answered 500 Internal Server Error; is it an MLflow server?",
        ),
        (answered(b"[" * 100_000), "what answers there is no MLflow server"),
        (
            answered(b"", "302 Found", "Location: ftp://h/\x1b[31m"),
            "redirects to ftp://h, which is not followed",
        ),
    ],
)
def test_a_server_that_misbehaves(answer: Answer, sentence: str) -> None:
    with RawServer(lambda _: answer) as mlflow:
        said = refusal(MODEL="models:/iris/1", MLFLOW_TRACKING_URI=f"http://user:{SECRET}@{mlflow.host}")
    assert sentence in said
    assert said.isprintable()
