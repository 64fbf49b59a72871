"""A secret in any setting, the right one or a wrong one, is in no line that the server writes."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from serving.settings import Settings
from tests.contract.test_feedback import settings_for
from tests.harness import Server, eventually, free_port

pytestmark = pytest.mark.heart

SECRET = "MARKED-hunter2"  # noqa: S105
ADDRESS = f"//user:{SECRET}@127.0.0.1:{free_port()}"
EVERY = [name.upper() for name in Settings.model_fields if name != "port"]
RETRAINING = [sys.executable, "-m", "retrain_api"]
UVICORN = [sys.executable, "-m", "uvicorn", "api_server:app", "--port", "{port}"]
MLFLOW = {"MODEL": "models:/churn/2"}


@pytest.mark.parametrize(
    ("command", "settings"),
    [
        (None, dict.fromkeys(EVERY, f"{SECRET}\n\x1b[31m")),
        (None, dict.fromkeys(EVERY, f"http:{ADDRESS}")),
        (RETRAINING, dict.fromkeys([*EVERY, "RETRAIN_JOB", "RETRAIN_KEY"], SECRET)),
        (RETRAINING, {"RETRAIN_JOB": "pyproject.toml", "RETRAIN_KEY": f"/{SECRET}+/="}),
        (None, {"HOST": f"{SECRET}..{SECRET}"}),
        (None, {"FEEDBACK_DATABASE": f"postgresql:{ADDRESS}?plugin={SECRET}", "FEEDBACK_KEYS": "{keys}"}),
        (None, MLFLOW | {"MLFLOW_TRACKING_URI": f"https:{ADDRESS}/x"}),
        (UVICORN, MLFLOW | {"MLFLOW_TRACKING_URI": f"http://u:{SECRET}@nowhere.invalid"}),
        (None, MLFLOW | {"MLFLOW_TRACKING_URI": "http://nowhere.invalid", "http_proxy": f"http:{ADDRESS}@h"}),
    ],
)
def test_a_failing_startup(tmp_path: Path, command: list[str] | None, settings: dict[str, str]) -> None:
    keys = settings_for(tmp_path)["FEEDBACK_KEYS"]
    stopped = Server({name: value.replace("{keys}", keys) for name, value in settings.items()}, command)
    assert stopped.wait() == 1
    said = "\n".join(stopped.lines)
    assert SECRET not in said
    assert "Traceback" not in said
    assert stopped.lines[-1].startswith("error: ")
    assert stopped.lines[-1].isprintable()


def test_a_database_that_does_not_answer(start: Callable[..., Server], tmp_path: Path) -> None:
    url = f"postgresql://{SECRET}:{SECRET}@{SECRET}.invalid/db?application_name={SECRET}"
    server = start(**settings_for(tmp_path) | {"FEEDBACK_DATABASE": url})
    (line,) = eventually(
        lambda: [line for line in server.lines if "outcomes cannot be stored" in line], "it is logged"
    )
    assert "OperationalError: failed to resolve host '***'" in line
    assert server.stop() == 0
    assert SECRET not in "\n".join(server.lines)
