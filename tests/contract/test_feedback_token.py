"""Where a token is set, strangers report nothing: not what raises an alert, not what stays for ever."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.contract.test_feedback import ids, settings_for, tell
from tests.harness import SAMPLE, Server, eventually, problem

pytestmark = pytest.mark.heart

TOKEN = "0123456789abcdef" * 4
BEARER = {"Authorization": f"Bearer {TOKEN}"}


def with_token(folder: Path, **more: str) -> dict[str, str]:
    """Return settings of production, where outcomes are taken from those who have the token."""
    file = folder / "token"
    file.write_text(f"{TOKEN}\n", encoding="utf-8")
    return settings_for(folder, ENVIRONMENT="production", FEEDBACK_TOKEN_FILE=str(file), **more)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("guarded")


@pytest.fixture(scope="module")
def guarded(folder: Path) -> Iterator[Server]:
    server = Server(with_token(folder)).wait_until_ready()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def anonymous(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of a lab, where no token is asked for."""
    server = Server(settings_for(tmp_path_factory.mktemp("lab"))).wait_until_ready()
    yield server
    server.stop()


def report(server: Server, prediction_id: str, outcome: object, **more: object) -> requests.Response:
    """Report an outcome with the token."""
    body = {"prediction_id": prediction_id, "outcome": outcome} | more
    return server.post("/feedback", body, headers=BEARER)


def warnings(server: Server) -> list[str]:
    parsed = [json.loads(line) for line in server.lines if line.startswith("{")]
    return [line["message"] for line in parsed if line["level"] == "warning"]


STRANGERS: list[dict[str, object]] = [
    {},
    {"headers": {"Authorization": f"Bearer {TOKEN[:-1]}"}},
    {"headers": {"Authorization": f"Basic {TOKEN}"}},
    {"params": {"token": TOKEN, "access_token": TOKEN}},
    {"cookies": {"token": TOKEN}},
]


def test_four_hundred_false_outcomes_of_a_stranger_change_nothing(guarded: Server) -> None:
    """As many met the condition of ModelQualityBelowCard within seconds, where no token was asked for."""
    every = ids(guarded, [SAMPLE] * 402)
    assert report(guarded, every[0], 0).status_code == 202
    with requests.Session() as stranger:
        for place, one in enumerate(every[2:]):
            told = {"prediction_id": one, "outcome": 1}
            how: Any = STRANGERS[place % len(STRANGERS)]
            refused = stranger.post(f"{guarded.url}/feedback", json=told, **how)
            document = problem(refused, 401, "Unauthorized")
            assert refused.headers["www-authenticate"] == "Bearer"
    assert document["detail"] == "Send the token for outcomes: 'Authorization: Bearer TOKEN'."
    assert guarded.metric("api_requests_total", endpoint="/feedback", status_code="401") == 400
    assert guarded.metric("api_errors_total", error_type="Unauthorized") == 400
    # the refresh that shows this one has seen all that was stored before it
    assert report(guarded, every[1], 0).status_code == 202
    eventually(lambda: guarded.metric("model_outcomes") == 2, "both true ones are shown")
    assert guarded.metric("model_outcomes", outcome="disease") == 0
    assert guarded.metric("model_quality", figure="accuracy") == 1
    assert guarded.metric("feedback_total") == guarded.metric("feedback_total", verdict="new") == 2
    assert not warnings(guarded)
    assert TOKEN not in "".join(guarded.lines)


@pytest.mark.parametrize("body", [b"{", b"", b'{"prediction_id": "x", "outcome": 1}', b"x" * 2_000_000])
def test_a_stranger_is_told_nothing_else(guarded: Server, body: bytes) -> None:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN[::-1]}"}
    refused = requests.post(f"{guarded.url}/feedback", data=body, headers=headers, timeout=10)
    problem(refused, 401, "Unauthorized")


def test_a_token_that_is_replaced_or_lost_takes_effect_at_once(guarded: Server, folder: Path) -> None:
    one, two = ids(guarded, [SAMPLE] * 2)
    (folder / "token").write_text(TOKEN[::-1], encoding="utf-8")
    problem(report(guarded, one, 0), 401, "Unauthorized")
    (folder / "token").unlink()
    lost = report(guarded, one, 0)
    problem(lost, 503, "TokenUnavailable")
    (line,) = guarded.requests_logged(lost.headers["x-request-id"])
    assert "FEEDBACK_TOKEN_FILE" in line["cause"]
    (folder / "token").write_text(TOKEN, encoding="utf-8")
    assert report(guarded, two, 0).status_code == 202


def test_openapi_says_whether_a_token_is_asked_for(guarded: Server, anonymous: Server) -> None:
    document = guarded.get("/openapi.json").json()
    (scheme,) = document["components"]["securitySchemes"].values()
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    secured = {path for path, its in document["paths"].items() if "security" in its.get("post", {})}
    assert secured == {"/feedback"}
    assert "401" in document["paths"]["/feedback"]["post"]["responses"]
    document = anonymous.get("/openapi.json").json()
    assert "securitySchemes" not in document["components"]
    assert "401" not in document["paths"]["/feedback"]["post"]["responses"]


def test_a_lab_says_that_anybody_can_report(anonymous: Server) -> None:
    assert tell(anonymous, ids(anonymous, [SAMPLE])[0], 0).status_code == 202
    assert warnings(anonymous) == ["anybody can report outcomes"]


def test_a_file_without_a_token_stops_the_start(tmp_path: Path) -> None:
    settings = with_token(tmp_path)
    (tmp_path / "token").write_text("short", encoding="utf-8")
    stopped = Server(settings)
    assert stopped.wait() == 1
    assert stopped.lines[-1].startswith("error: FEEDBACK_TOKEN_FILE=")
    assert stopped.lines[-1].endswith("is shorter than 32 characters: openssl rand -hex 32")
