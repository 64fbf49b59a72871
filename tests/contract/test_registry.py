"""A registered model that cannot be had stops the start with a sentence; tests/compose has a real MLflow."""

from collections.abc import Callable

import pytest

from tests.harness import Server, free_port

pytestmark = pytest.mark.heart


def refusal(**settings: str) -> str:
    server = Server(settings)
    assert server.wait() == 1
    assert "Traceback" not in "\n".join(server.lines)
    return server.lines[-1]


def test_an_address_where_nobody_answers() -> None:
    uri = f"http://127.0.0.1:{free_port()}"
    said = refusal(MODEL="models:/churn/2", MLFLOW_TRACKING_URI=uri)
    assert said.startswith(f"error: MLFLOW_TRACKING_URI={uri}: no MLflow server answers there (")
    assert "Connection refused" in said


def test_a_host_that_there_is_not() -> None:
    said = refusal(MODEL="models:/churn/2", MLFLOW_TRACKING_URI="http://nowhere.invalid:5000")
    assert "no MLflow server answers there" in said


def test_an_address_where_somebody_else_answers(start: Callable[..., Server]) -> None:
    other = start()
    said = refusal(MODEL="models:/churn/2", MLFLOW_TRACKING_URI=other.url)
    assert said == f"error: models:/churn/2: {other.url} answered 404 Not Found; is it an MLflow server?"


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"MODEL": "models:/churn/2"}, "needs MLFLOW_TRACKING_URI"),
        ({"MODEL": "models:/churn/latest"}, "MODEL="),
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
def test_settings_that_make_no_sense(settings: dict[str, str], sentence: str) -> None:
    assert sentence in refusal(**settings)
