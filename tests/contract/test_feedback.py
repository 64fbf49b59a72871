"""POST /feedback: a prediction has one outcome, what is acknowledged stays, what is forged is rejected."""

import hashlib
import math
import os
import socket
import sqlite3
import struct
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock
from time import time
from typing import Any

import pytest
import requests
import sqlalchemy as sql

from serving.errors import ValidationError
from serving.feedback.prediction_ids import read_id
from serving.feedback.signing_keys import Keys
from serving.feedback.store import upgrade
from tests.harness import SAMPLE, Server, eventually, problem
from tests.systems import System

TODAY = datetime.now(UTC).date()
SECRET = "a secret of thirty-two characters or more"  # noqa: S105


def write_key(folder: Path, days_from_today: int = 0, secret: str = SECRET) -> Path:
    """Put a key into the folder atomically: a server may be reading."""
    folder.mkdir(exist_ok=True)
    (folder / ".new").write_text(secret, encoding="utf-8")
    (folder / ".new").rename(folder / str(TODAY + timedelta(days=days_from_today)))
    return folder


def settings_for(folder: Path, **more: str) -> dict[str, str]:
    keys = folder / "keys" if (folder / "keys").exists() else write_key(folder / "keys")
    return {"FEEDBACK_DATABASE": f"sqlite:///{folder}/outcomes.db", "FEEDBACK_KEYS": str(keys)} | more


@pytest.fixture
def taking(start: Callable[..., Server], tmp_path: Path) -> Server:
    """A server that accepts outcomes."""
    return start(**settings_for(tmp_path))


def ids(server: Server, rows: list[dict[str, Any]]) -> list[str]:
    """Predict the rows in batches, and return the id of each."""
    found: list[str] = []
    for first in range(0, len(rows), 500):
        answer = server.post("/predict/batch", {"instances": rows[first : first + 500]})
        found += [prediction["prediction_id"] for prediction in answer.json()["predictions"]]
    return found


def report(server: Server, prediction_id: str, outcome: object) -> requests.Response:
    return server.post("/feedback", {"prediction_id": prediction_id, "outcome": outcome})


def refusals(server: Server) -> list[str]:
    """Wait for the line that says that the database cannot be used."""
    return eventually(
        lambda: [line for line in server.lines if "outcomes cannot be stored" in line], "it is logged"
    )


def brier_scores(server: Server) -> list[float]:
    """Return the Brier scores that the metrics show; none before the first outcome."""
    brier = ("metric", "brier")
    return [
        value
        for (name, labels), value in server.metrics().items()
        if name == "model_quality" and brier in labels
    ]


def kept(folder: Path) -> list[tuple[Any, ...]]:
    with sqlite3.connect(folder / "outcomes.db") as database:
        return database.execute("SELECT number, outcome FROM outcomes").fetchall()


def test_an_outcome_counts_once_and_another_contradicts_it(taking: Server, system: System) -> None:
    answer = taking.post("/predict", system.sample).json()
    first, second = system.declaration.classes[:2]
    accepted = report(taking, answer["prediction_id"], first.prediction)
    assert (accepted.status_code, accepted.json()) == (202, {"status": "accepted"})
    for again in (first.prediction, first.label):
        known = report(taking, answer["prediction_id"], again)
        assert (known.status_code, known.json()) == (200, {"status": "known"})
    problem(report(taking, answer["prediction_id"], second.label), 409, "Conflict")
    counted = {verdict: taking.metric("feedback_total", model=system.name, verdict=verdict) for verdict in
               ("new", "known", "contradicted", "failed")}  # fmt: skip
    assert counted == {"new": 1, "known": 2, "contradicted": 1, "failed": 0}
    total = lambda: taking.metric("model_outcomes", model=system.name) == 1  # noqa: E731
    eventually(total, "one outcome is shown")


def test_every_row_has_an_id_that_says_what_was_predicted(
    taking: Server, system: System, tmp_path: Path
) -> None:
    answers = taking.post("/predict/batch", {"instances": system.rows[:100]}).json()["predictions"]
    answers.append(taking.post("/predict", system.sample).json())
    keys = Keys(tmp_path / "keys")
    labels = system.declaration.labels
    numbers = set()
    for answer in answers:
        said = read_id(answer["prediction_id"], keys, days=1)
        assert (said.model, said.version) == (system.name, system.version)
        assert labels[said.class_index] == answer["label"]
        positive = answer.get("probability")
        shown = list(answer["probabilities"].values()) if positive is None else [1 - positive, positive]
        assert said.probabilities == pytest.approx(shown, abs=1e-7)
        assert abs(said.second - time()) < 60
        numbers.add(said.number)
    assert len(numbers) == len(answers)


def test_without_a_database_there_are_no_ids_and_no_feedback(server: Server, system: System) -> None:
    assert "prediction_id" not in server.post("/predict", system.sample).json()
    problem(server.post("/feedback", {}), 404, "NotFound")
    assert "/feedback" not in server.get("/openapi.json").json()["paths"]
    assert not [name for name, _ in server.metrics() if name.startswith(("feedback", "model_quality"))]


@pytest.mark.heart
def test_invalid_feedback_is_rejected(taking: Server) -> None:
    (prediction_id,) = ids(taking, [SAMPLE])
    outcomes: list[object] = [True, False, 2, -1, "sick", "", None, [1], {"is": 1}, 0.5]
    for outcome in outcomes:
        rejected = problem(report(taking, prediction_id, outcome), 422, "ValidationError")
        assert rejected["detail"] == "'outcome' must be one of 0, 1, no_disease, disease."
    bodies: list[object] = [
        [],
        {},
        {"outcome": 1},
        {"prediction_id": prediction_id, "outcome": 1, "age": 63},
        "text",
        1,
    ]
    for body in bodies:
        rejected = problem(taking.post("/feedback", body), 422, "ValidationError")
        assert rejected["detail"].startswith("Feedback is an object with two members")
    assert taking.metric("feedback_total") == 0


@pytest.mark.heart
def test_a_forged_id_is_rejected_whichever_bit_is_flipped(taking: Server, tmp_path: Path) -> None:
    (real,) = ids(taking, [SAMPLE])
    keys = Keys(tmp_path / "keys")
    content = bytes.fromhex(real)
    read_id(real, keys, days=1)
    for bit in range(8 * len(content)):
        turned = bytearray(content)
        turned[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ValidationError):
            read_id(turned.hex(), keys, days=1)
    for wrong in ("", "x", real[:-4], real + "aaaa", real * 9, real.upper(), "é" * 104, "a" * 104, [real], 7):
        problem(taking.post("/feedback", {"prediction_id": wrong, "outcome": 1}), 422, "ValidationError")


@pytest.mark.heart
def test_a_signed_id_of_no_prediction_is_rejected(taking: Server, tmp_path: Path) -> None:
    """Anyone with the key can sign anything; what is stored stays finite."""

    def sign(said: bytes) -> str:
        key = hashlib.blake2s(SECRET.encode()).digest()
        return (said + hashlib.blake2s(said, key=key, digest_size=16).digest()).hex()

    (real,) = ids(taking, [SAMPLE])
    said = bytes.fromhex(real)[:-16]
    number = 5 + int.from_bytes(said[3:5], "big") + 4
    infinite = struct.pack(">2f", math.inf, -math.inf)
    for forged in (
        said[: number - 4] + b"\xff" * 4 + said[number:],
        said[: number + 8] + b"\xc8" + said[number + 9 :],
        said[: number + 9] + infinite,
        said.replace(b"/v1", b"/\xff1"),
        said.replace(b"@0.5", b"@0,5"),
        said + b"more",
        said[:-1],
    ):
        rejected = problem(report(taking, sign(forged), 1), 422, "ValidationError")
        assert rejected["detail"].startswith("'prediction_id' is ")
    assert report(taking, real, 1).status_code == 202
    (brier,) = eventually(lambda: brier_scores(taking), "the Brier score is shown")
    assert 0 <= brier <= 1
    assert len(kept(tmp_path)) == 1


@pytest.mark.heart
def test_foreign_and_expired_ids_are_rejected(start: Callable[..., Server], tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder, secret in ((here, SECRET), (there, SECRET[::-1])):
        folder.mkdir()
        write_key(folder / "keys", secret=secret)
    ours, theirs = start(**settings_for(here)), start(**settings_for(there))
    rejected = problem(report(ours, ids(theirs, [SAMPLE])[0], 1), 422, "ValidationError")
    assert "not made by this installation" in rejected["detail"]
    iris = start(**settings_for(here), MODEL="iris")
    (flower,) = ids(iris, [System("iris").sample])
    rejected = problem(report(ours, flower, "setosa"), 422, "ValidationError")
    assert "a model that is not served here" in rejected["detail"]
    (old,) = ids(ours, [SAMPLE])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("serving.feedback.prediction_ids.time", lambda: time() + 90 * 86_400 - 60)
        read_id(old, Keys(here / "keys"), days=90)
        patch.setattr("serving.feedback.prediction_ids.time", lambda: time() + 90 * 86_400 + 60)
        with pytest.raises(ValidationError, match="has expired: outcomes are accepted for 90 days"):
            read_id(old, Keys(here / "keys"), days=90)


@pytest.mark.heart
def test_a_new_key_signs_from_its_day_on_and_old_ones_still_verify(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    keys = write_key(tmp_path / "keys", days_from_today=-30)
    before = start(**settings_for(tmp_path))
    (old,) = ids(before, [SAMPLE])
    write_key(keys, secret=SECRET * 2)
    write_key(keys, days_from_today=1, secret=SECRET * 3)
    after = start(**settings_for(tmp_path))
    (new,) = ids(after, [SAMPLE])
    signed_by = [bytes.fromhex(prediction_id[:4]) for prediction_id in (old, new)]
    days = [(TODAY - timedelta(days=age)).toordinal() - datetime(1970, 1, 1).toordinal() for age in (30, 0)]  # noqa: DTZ001
    assert [int.from_bytes(day, "big") for day in signed_by] == days
    # the server that started before the new key reads it when it first sees it
    assert [report(server, new, 1).status_code for server in (before, after)] == [202, 200]
    assert [report(server, old, 1).status_code for server in (after, before)] == [202, 200]
    (keys / str(TODAY - timedelta(days=30))).unlink()
    without = start(**settings_for(tmp_path))
    problem(report(without, old, 1), 422, "ValidationError")
    assert report(without, new, 1).status_code == 200


@pytest.mark.heart
def test_a_key_is_revoked_despite_an_unreadable_one_and_a_silent_database(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    keys = write_key(tmp_path / "keys")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        database = f"postgresql://user:password@127.0.0.1:{silent.getsockname()[1]}/outcomes"
        server = start(**settings_for(tmp_path) | {"FEEDBACK_DATABASE": database})
        assert server.metric("feedback_keys_unreadable") == 0
        (old,) = ids(server, [SAMPLE])
        write_key(keys, secret=SECRET[::-1])
        os.mkfifo(keys / "2020-01-01")
        eventually(lambda: server.metric("feedback_keys_unreadable") == 1, "metrics show it", 15)
        problem(report(server, old, 1), 422, "ValidationError")
        (new,) = ids(server, [SAMPLE])
        (keys / str(TODAY)).unlink()
        of_another_day = "0000" + new[4:]  # makes the server read its keys at once
        without = report(server, of_another_day, 1)
        problem(without, 503, "StoreUnavailable")
        assert without.headers["retry-after"] == "5"
        problem(report(server, new, 1), 503, "StoreUnavailable")
        answer = server.post("/predict", SAMPLE)
        assert answer.status_code == 200
        assert "prediction_id" not in answer.json()
        write_key(keys, secret=SECRET * 2)
        problem(report(server, of_another_day, 1), 422, "ValidationError")
        assert "prediction_id" in server.post("/predict", SAMPLE).json()
        problem(report(server, new, 1), 422, "ValidationError")
    lines = [line for line in server.lines if "keys cannot be used" in line]
    assert ["holds no key" in line for line in lines] == [False, True, False]
    assert all("it is not a regular file" in line for line in lines)


@pytest.mark.heart
@pytest.mark.parametrize("workers", ["1", "2"])
def test_one_of_concurrent_outcomes_counts(
    start: Callable[..., Server], tmp_path: Path, workers: str
) -> None:
    server = start(**settings_for(tmp_path), WORKERS=workers)
    reported = [
        (prediction_id, outcome)
        for prediction_id in ids(server, [SAMPLE] * 40)
        for outcome in (0, 0, 0, 1, 1)
    ]
    with ThreadPoolExecutor(16) as clients:
        answers = list(clients.map(lambda pair: (*pair, report(server, *pair).status_code), reported))
    rows = dict(kept(tmp_path))
    assert len(rows) == 40
    for prediction_id in {reported_id for reported_id, _ in reported}:
        statuses = {outcome: [] for outcome in (0, 1)}  # type: dict[int, list[int]]
        for answered_id, outcome, status in answers:
            if answered_id == prediction_id:
                statuses[outcome].append(status)
        (stays,) = (outcome for outcome, found in statuses.items() if 202 in found)
        assert sorted(statuses[stays]) == [200] * (len(statuses[stays]) - 1) + [202]
        assert set(statuses[1 - stays]) == {409}
    eventually(lambda: server.metric("model_outcomes") == 40, "forty outcomes are shown")


@pytest.mark.heart
def test_a_killed_server_loses_nothing_that_it_acknowledged(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    first = start(**settings_for(tmp_path))
    reported = [(prediction_id, place % 2) for place, prediction_id in enumerate(ids(first, [SAMPLE] * 1000))]
    servers, acknowledged, once = [first], [], Lock()

    def until_settled(pair: tuple[str, int]) -> list[int | None]:
        statuses: list[int | None] = []
        while not statuses or statuses[-1] not in (200, 202):
            try:
                statuses.append(report(servers[-1], *pair).status_code)
            except requests.RequestException:
                statuses.append(None)
            if statuses[-1] == 202:
                acknowledged.append(pair[0])
            if len(acknowledged) >= 300 and once.acquire(blocking=False):
                first.process.kill()
                servers.append(start(**settings_for(tmp_path)))
        return statuses

    with ThreadPoolExecutor(8) as clients:
        outcomes = list(clients.map(until_settled, reported))
    assert len(servers) == 2
    assert any(None in statuses for statuses in outcomes)
    rows = dict(kept(tmp_path))
    assert len(rows) == 1000
    keys = Keys(tmp_path / "keys")
    names = ["no_disease", "disease"]
    assert rows == {
        read_id(prediction_id, keys, days=1).number: names[outcome] for prediction_id, outcome in reported
    }
    eventually(lambda: servers[-1].metric("model_outcomes") == 1000, "a thousand outcomes are shown")


@pytest.mark.heart
def test_a_full_disk_is_reported_and_loses_nothing(start: Callable[..., Server], tmp_path: Path) -> None:
    """A limit on the size of its files stands in for the disk."""
    limited = ["bash", "-c", f'ulimit -f 96; exec "{sys.executable}" api_server.py']
    server = start(limited, **settings_for(tmp_path))
    every = ids(server, [SAMPLE] * 1000)
    statuses: list[int] = []
    while 503 not in statuses:
        statuses.append(report(server, every[len(statuses)], 1).status_code)
    full = problem(report(server, every[len(statuses)], 1), 503, "StoreUnavailable")
    assert full["detail"] == "The outcome could not be stored; send it again."
    assert report(server, every[len(statuses)], 1).headers["retry-after"] == "5"
    assert server.post("/predict", SAMPLE).status_code == 200
    assert server.metric("feedback_total", verdict="failed") == 3
    assert set(statuses[:-1]) == {202}
    server.stop()
    roomy = start(**settings_for(tmp_path))
    stored = every[: len(statuses) - 1]
    assert {report(roomy, prediction_id, 1).status_code for prediction_id in stored} == {200}
    assert report(roomy, every[len(statuses)], 1).status_code in (200, 202)


@pytest.mark.heart
def test_an_unavailable_database_is_reported_and_used_once_it_is_back(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    (tmp_path / "outcomes.db").mkdir()
    server = start(**settings_for(tmp_path))
    (prediction_id,) = ids(server, [SAMPLE])
    away = report(server, prediction_id, 1)
    problem(away, 503, "StoreUnavailable")
    assert away.headers["retry-after"] == "5"
    eventually(lambda: server.metric("feedback_store_up") == 0, "metrics show it")
    (line,) = refusals(server)
    assert "unable to open database file" in line
    (tmp_path / "outcomes.db").rmdir()
    assert report(server, prediction_id, 1).status_code == 202
    eventually(lambda: server.metric("feedback_store_up") == 1, "the store is up")
    eventually(lambda: server.metric("model_outcomes") == 1, "the outcome is shown")


@pytest.mark.heart
def test_a_database_of_the_first_schema_is_migrated_with_its_outcomes(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/outcomes.db"
    engine = sql.create_engine(url)
    with engine.begin() as connection:
        upgrade(connection, "0001")
        row = "('a', 'heart-disease', 'v1', :now, :now, 'disease', 'no_disease', 0.75, 0.5625)"
        connection.execute(sql.text(f"INSERT INTO outcomes VALUES {row}"), {"now": int(time())})  # noqa: S608
    engine.dispose()
    server = start(**settings_for(tmp_path))
    assert report(server, ids(server, [SAMPLE])[0], 0).status_code == 202
    eventually(lambda: server.metric("model_outcomes") == 2, "both outcomes are shown")
    assert server.metric("model_quality", metric="accuracy") == 0.5
    with sqlite3.connect(tmp_path / "outcomes.db") as database:
        assert database.execute("SELECT version_num FROM alembic_version").fetchall() == [("0004",)]
        assert database.execute("SELECT name FROM sqlite_master WHERE name = 'outcomes_predicted'").fetchall()


@pytest.mark.heart
def test_outcomes_go_on_after_a_rollback(start: Callable[..., Server], tmp_path: Path) -> None:
    """A later release has migrated the database: it is used as it is, and that release can go on with it."""
    engine = sql.create_engine(f"sqlite:///{tmp_path}/outcomes.db")
    with engine.begin() as connection:
        upgrade(connection)
        connection.execute(sql.text("ALTER TABLE outcomes ADD COLUMN later VARCHAR(64)"))
        connection.execute(sql.text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    server = start(**settings_for(tmp_path))
    assert report(server, ids(server, [SAMPLE])[0], 0).status_code == 202
    eventually(lambda: server.metric("model_outcomes") == 1, "the outcome is shown")
    with sqlite3.connect(tmp_path / "outcomes.db") as database:
        assert database.execute("SELECT version_num FROM alembic_version").fetchall() == [("9999",)]


@pytest.mark.heart
def test_the_log_has_the_verdict_and_nothing_more(taking: Server) -> None:
    (prediction_id,) = ids(taking, [SAMPLE])
    body = {"prediction_id": prediction_id, "outcome": 1}
    taking.post("/feedback", body, headers={"X-Request-ID": "reported"})
    (line,) = taking.requests_logged("reported")
    assert line["feedback"] == "new"
    assert set(line) == {
        "time", "level", "message", "request_id", "method", "route", "status", "duration_ms", "feedback",
    }  # fmt: skip
    assert not [line for line in taking.lines if prediction_id in line]
