"""Where a token is set, strangers can report nothing: no outcome that raises an alert, none that stays."""

import json
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from serving.feedback.prediction_ids import read_id
from serving.feedback.signing_keys import Keys
from tests.contract.test_feedback import ids, report, settings_for
from tests.harness import SAMPLE, Server, eventually, problem

pytestmark = pytest.mark.heart

TOKEN = "5d41402abc4b2a76b9719d911017c5927f83b1657ff1fc53b92dc18148a1d65d"  # noqa: S105
BEARER = {"Authorization": f"Bearer {TOKEN}"}


def with_token(folder: Path, **more: str) -> dict[str, str]:
    """Return settings of production, where reporting outcomes needs the token."""
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
    """A server of a lab, which needs no token."""
    server = Server(settings_for(tmp_path_factory.mktemp("lab"))).wait_until_ready()
    yield server
    server.stop()


def report_with_token(
    server: Server, prediction_id: str, outcome: object, **more: object
) -> requests.Response:
    """Report an outcome with the token."""
    body = {"prediction_id": prediction_id, "outcome": outcome} | more
    return server.post("/feedback", body, headers=BEARER)


def warnings(server: Server) -> list[str]:
    parsed = [json.loads(line) for line in server.lines if line.startswith("{")]
    return [line["message"] for line in parsed if line["level"] == "warning"]


def matrix(server: Server) -> tuple[float, float]:
    """Return how many outcomes the metrics show of `no_disease`, and of `disease`."""
    return tuple(server.metric("model_outcomes", outcome=name) for name in ("no_disease", "disease"))  # type: ignore[return-value]


STRANGERS: list[dict[str, object]] = [
    {},
    {"headers": {"Authorization": f"Bearer {TOKEN[:-1]}"}},
    {"headers": {"Authorization": f"Basic {TOKEN}"}},
    {"params": {"token": TOKEN, "access_token": TOKEN}},
    {"cookies": {"token": TOKEN}},
]


def test_four_hundred_false_outcomes_of_a_stranger_change_nothing(guarded: Server) -> None:
    """Without a token, as many met the condition of ModelQualityBelowCard within seconds."""
    every = ids(guarded, [SAMPLE] * 402)
    assert report_with_token(guarded, every[0], 0).status_code == 202
    with requests.Session() as stranger:
        for place, prediction_id in enumerate(every[2:]):
            body = {"prediction_id": prediction_id, "outcome": 1}
            how: Any = STRANGERS[place % len(STRANGERS)]
            rejected = stranger.post(f"{guarded.url}/feedback", json=body, **how)
            document = problem(rejected, 401, "Unauthorized")
            assert rejected.headers["www-authenticate"] == "Bearer"
    assert document["detail"] == "Send the token for outcomes: 'Authorization: Bearer TOKEN'."
    assert guarded.metric("api_requests_total", endpoint="/feedback", status_code="401") == 400
    assert guarded.metric("api_errors_total", error_type="Unauthorized") == 400
    # the refresh that shows this one has read all that was stored before it
    assert report_with_token(guarded, every[1], 0).status_code == 202
    eventually(lambda: guarded.metric("model_outcomes") == 2, "both true ones are shown")
    assert matrix(guarded) == (2, 0)
    assert guarded.metric("model_quality", metric="accuracy") == 1
    assert guarded.metric("feedback_total") == guarded.metric("feedback_total", verdict="new") == 2
    assert not warnings(guarded)
    assert TOKEN not in "".join(guarded.lines)


def test_a_false_first_outcome_can_be_corrected(guarded: Server, folder: Path) -> None:
    (prediction_id,) = ids(guarded, [SAMPLE])
    assert report_with_token(guarded, prediction_id, 1).status_code == 202
    eventually(lambda: matrix(guarded)[1] == 1, "the false one is shown")
    healthy = matrix(guarded)[0]
    rejected = problem(report_with_token(guarded, prediction_id, 0), 409, "Conflict")
    assert rejected["detail"].endswith('which stays; send "correction": true to replace it.')
    corrected = report_with_token(guarded, prediction_id, 0, correction=True)
    assert (corrected.status_code, corrected.json()) == (202, {"status": "corrected"})
    for again in ({"correction": True}, {"correction": False}, {}):
        assert report_with_token(guarded, prediction_id, "no_disease", **again).json() == {"status": "known"}
    eventually(lambda: matrix(guarded) == (healthy + 1, 0), "the true one counts in its place")
    assert guarded.metric("model_quality", metric="accuracy") == 1
    assert guarded.metric("feedback_total", verdict="corrected") == 1
    number = read_id(prediction_id, Keys(folder / "keys"), days=1).number
    with sqlite3.connect(folder / "outcomes.db") as database:
        earlier = database.execute("SELECT outcome FROM earlier_outcomes WHERE number = ?", [number])
        assert earlier.fetchall() == [("disease",)]
    problem(report(guarded, prediction_id, 1), 401, "Unauthorized")
    stranger = {"prediction_id": prediction_id, "outcome": 1, "correction": True}
    problem(guarded.post("/feedback", stranger), 401, "Unauthorized")


def test_a_correction_is_true_or_false(guarded: Server) -> None:
    (prediction_id,) = ids(guarded, [SAMPLE])
    wrongs: list[object] = [1, 0, "true", None, [], {}]
    for wrong in wrongs:
        rejected = problem(
            report_with_token(guarded, prediction_id, 0, correction=wrong), 422, "ValidationError"
        )
        assert rejected["detail"] == "'correction' must be true or false."
    rejected = problem(report_with_token(guarded, prediction_id, 0, corrected=True), 422, "ValidationError")
    assert "'prediction_id' and 'outcome'" in rejected["detail"]
    assert report_with_token(guarded, prediction_id, 0, correction=True).json() == {"status": "accepted"}


def test_without_a_token_corrections_are_rejected(anonymous: Server) -> None:
    (prediction_id,) = ids(anonymous, [SAMPLE])
    assert report(anonymous, prediction_id, 1).status_code == 202
    for outcome in (0, 1):
        body = {"prediction_id": prediction_id, "outcome": outcome, "correction": True}
        rejected = problem(anonymous.post("/feedback", body), 422, "ValidationError")
        assert rejected["detail"].startswith("Corrections are not accepted where anybody can report")
    contradicted = problem(report(anonymous, prediction_id, 0), 409, "Conflict")
    assert contradicted["detail"].endswith(
        "which stays: corrections are not accepted where anybody can report."
    )


def test_concurrent_corrections_are_all_kept(start: Callable[..., Server], tmp_path: Path) -> None:
    server = start(**with_token(tmp_path), WORKERS="2")
    (prediction_id,) = ids(server, [SAMPLE])
    assert report_with_token(server, prediction_id, 1).status_code == 202
    with ThreadPoolExecutor(8) as clients:
        answers = list(
            clients.map(
                lambda place: report_with_token(server, prediction_id, place // 2 % 2, correction=True),
                range(60),
            )
        )
    assert {answer.status_code for answer in answers} <= {200, 202}
    accepted = [answer for answer in answers if answer.status_code == 202]
    with sqlite3.connect(tmp_path / "outcomes.db") as database:
        (kept,) = database.execute("SELECT count(*) FROM earlier_outcomes").fetchone()
    assert kept == len(accepted) == server.metric("feedback_total", verdict="corrected")
    eventually(lambda: sum(matrix(server)) == 1, "one outcome counts")


@pytest.mark.parametrize("body", [b"{", b"", b'{"prediction_id": "x", "outcome": 1}', b"x" * 2_000_000])
def test_a_stranger_learns_nothing_else(guarded: Server, body: bytes) -> None:
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {TOKEN[::-1]}"}
    rejected = requests.post(f"{guarded.url}/feedback", data=body, headers=headers, timeout=10)
    problem(rejected, 401, "Unauthorized")


def test_replacing_or_losing_the_token_takes_effect_at_once(guarded: Server, folder: Path) -> None:
    prediction_id, other_id = ids(guarded, [SAMPLE] * 2)
    (folder / "token").write_text(TOKEN[::-1], encoding="utf-8")
    problem(report_with_token(guarded, prediction_id, 0), 401, "Unauthorized")
    (folder / "token").unlink()
    lost = report_with_token(guarded, prediction_id, 0)
    problem(lost, 503, "TokenUnavailable")
    (line,) = guarded.requests_logged(lost.headers["x-request-id"])
    assert "FEEDBACK_TOKEN_FILE" in line["cause"]
    (folder / "token").write_text(TOKEN, encoding="utf-8")
    assert report_with_token(guarded, other_id, 0).status_code == 202


def test_openapi_says_whether_a_token_is_required(guarded: Server, anonymous: Server) -> None:
    document = guarded.get("/openapi.json").json()
    (scheme,) = document["components"]["securitySchemes"].values()
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    secured = {
        path for path, operations in document["paths"].items() if "security" in operations.get("post", {})
    }
    assert secured == {"/feedback"}
    assert "401" in document["paths"]["/feedback"]["post"]["responses"]
    document = anonymous.get("/openapi.json").json()
    assert "securitySchemes" not in document["components"]
    assert "401" not in document["paths"]["/feedback"]["post"]["responses"]


def test_a_lab_says_that_anybody_can_report(anonymous: Server) -> None:
    assert report(anonymous, ids(anonymous, [SAMPLE])[0], 0).status_code == 202
    assert warnings(anonymous) == ["anybody can report outcomes"]


def test_a_file_without_a_token_stops_startup(tmp_path: Path) -> None:
    settings = with_token(tmp_path)
    (tmp_path / "token").write_text("short", encoding="utf-8")
    stopped = Server(settings)
    assert stopped.wait() == 1
    assert stopped.lines[-1].startswith("error: FEEDBACK_TOKEN_FILE=")
    assert stopped.lines[-1].endswith("is shorter than 32 characters: openssl rand -hex 32")
