"""Outcomes in a real PostgreSQL, reported to two servers at once; and in SQLite on a real disk that is full.

These need PostgreSQL and root.
"""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Lock

import pytest
import requests
import sqlalchemy as sql

from serving.feedback.store import upgrade
from tests.contract.test_feedback import ids, refusals, report, settings_for, write_key
from tests.contract.test_feedback_token import report_with_token, with_token
from tests.harness import SAMPLE, Server, eventually, problem
from tests.postgresql import Postgresql

Start = Callable[..., Server]


@pytest.fixture
def database() -> Iterator[Postgresql]:
    with Postgresql() as running:
        yield running


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Start]:
    """Start servers that share keys."""
    write_key(tmp_path / "keys")  # before two of them start at once
    with ExitStack() as running:

        def start(url: str, **more: str) -> Server:
            settings = settings_for(tmp_path, **more) | {"FEEDBACK_DATABASE": url}
            server = Server(settings)
            running.callback(server.stop)
            return server.wait_until_ready()

        yield start


def rows(database: Postgresql) -> int:
    return int(database.ask("SELECT count(*) FROM outcomes"))


def test_two_servers_start_at_once_and_accept_the_same_outcome_once(
    servers: Start, database: Postgresql
) -> None:
    with ThreadPoolExecutor(2) as both:
        first, second = both.map(servers, [database.url] * 2)
    every = ids(first, [SAMPLE] * 60)
    reported = [
        (server, prediction_id, outcome)
        for prediction_id in every
        for outcome in (0, 0, 1)
        for server in (first, second)
    ]
    with ThreadPoolExecutor(16) as clients:
        answers = list(
            clients.map(lambda attempt: (attempt[1], attempt[2], report(*attempt).status_code), reported)
        )
    assert rows(database) == 60
    for prediction_id in every:
        found = [
            (outcome, status) for answered_id, outcome, status in answers if answered_id == prediction_id
        ]
        (stays,) = [outcome for outcome, status in found if status == 202]
        assert min(status for outcome, status in found if outcome == stays) == 200
        assert {status for outcome, status in found if outcome != stays} == {409}
    for server in (first, second):
        eventually(lambda server=server: server.metric("model_outcomes") == 60, "both show them")  # type: ignore[misc]
    shown = [
        {key: value for key, value in server.metrics().items() if key[0].startswith("model_quality")}
        for server in (first, second)
    ]
    assert shown[0] == shown[1]


def test_corrections_to_two_servers_at_once_are_all_kept(
    servers: Start, database: Postgresql, tmp_path: Path
) -> None:
    token = with_token(tmp_path)["FEEDBACK_TOKEN_FILE"]
    both = [servers(database.url, FEEDBACK_TOKEN_FILE=token) for _ in range(2)]
    (prediction_id,) = ids(both[0], [SAMPLE])
    assert report_with_token(both[0], prediction_id, 1).status_code == 202
    with ThreadPoolExecutor(8) as clients:
        answers = list(
            clients.map(
                lambda place: report_with_token(
                    both[place % 2], prediction_id, place // 2 % 2, correction=True
                ),
                range(100),
            )
        )
    assert {answer.status_code for answer in answers} == {200, 202}
    accepted = [answer for answer in answers if answer.status_code == 202]
    kept = "SELECT outcome FROM earlier_outcomes ORDER BY id"
    outcomes = [*database.ask(kept).split(), database.ask("SELECT outcome FROM outcomes")]
    assert len(outcomes) == 1 + len(accepted)
    # each replaced the other, so that they alternate
    assert set(outcomes[::2]) == {"disease"}
    assert set(outcomes[1::2]) == {"no_disease"}


def test_a_killed_database_loses_nothing_and_predictions_go_on(servers: Start, database: Postgresql) -> None:
    server = servers(database.url)
    reported = [
        (prediction_id, place % 2) for place, prediction_id in enumerate(ids(server, [SAMPLE] * 1000))
    ]
    acknowledged: list[str] = []
    predicted: list[int] = []
    once = Lock()

    def until_settled(pair: tuple[str, int]) -> list[int]:
        statuses = [0]
        while statuses[-1] not in (200, 202):
            answer = report(server, *pair)
            statuses.append(answer.status_code)
            if answer.status_code == 503:
                assert answer.headers["retry-after"] == "5"
                predicted.append(server.post("/predict", SAMPLE).status_code)
            if answer.status_code == 202:
                acknowledged.append(pair[0])
            if len(acknowledged) >= 300 and once.acquire(blocking=False):
                database.kill()
                eventually(lambda: len(predicted) > 20, "predictions were made without the database")
                database.start()
        return statuses[1:]

    with ThreadPoolExecutor(8) as clients:
        outcomes = list(clients.map(until_settled, reported))
    assert {status for statuses in outcomes for status in statuses} <= {200, 202, 503}
    assert any(503 in statuses for statuses in outcomes)
    assert set(predicted) == {200}
    assert rows(database) == 1000
    assert int(database.ask("SELECT count(*) FROM outcomes WHERE outcome = 'disease'")) == 500
    eventually(lambda: server.metric("model_outcomes") == 1000, "a thousand are shown")
    assert server.metric("feedback_store_up") == 1


def test_a_database_that_hangs_is_reported_in_time(servers: Start, database: Postgresql) -> None:
    """A stopped server accepts connections and answers nothing."""
    server = servers(database.url)
    (prediction_id,) = ids(server, [SAMPLE])
    processes = subprocess.run(
        ["pgrep", "--full", f"postgres.*{database.port}|postgres: .*outcomes"],
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    subprocess.run(["kill", "-STOP", *processes], check=True)
    try:
        began = time.monotonic()
        problem(report(server, prediction_id, 1), 503, "StoreUnavailable")
        assert time.monotonic() - began < 30
        assert server.post("/predict", SAMPLE).status_code == 200
    finally:
        subprocess.run(["kill", "-CONT", *processes], check=True)
    eventually(lambda: report(server, prediction_id, 1).status_code in (200, 202), "the outcome is accepted")
    assert rows(database) == 1


def test_a_late_or_rejecting_database_is_reported(servers: Start, database: Postgresql) -> None:
    database.kill()
    server = servers(database.url)
    (prediction_id,) = ids(server, [SAMPLE])
    problem(report(server, prediction_id, 1), 503, "StoreUnavailable")
    eventually(lambda: server.metric("feedback_store_up") == 0, "metrics show it")
    database.start()
    assert eventually(lambda: report(server, prediction_id, 1).status_code == 202, "it is accepted")
    stranger = servers(database.url.replace("secret", "guess"))
    problem(report(stranger, prediction_id, 1), 503, "StoreUnavailable")
    (line,) = refusals(stranger)
    assert "password authentication failed" in line
    assert "guess" not in "".join(stranger.lines)


def test_the_first_schema_is_migrated_with_its_outcomes(servers: Start, database: Postgresql) -> None:
    engine = sql.create_engine(database.url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        upgrade(connection, "0001")
    engine.dispose()
    now = int(time.time())
    old = f"('a', 'heart-disease', 'v1', {now}, {now}, 'disease', 'no_disease', 0.75, 0.5625)"
    database.ask(f"INSERT INTO outcomes VALUES {old}")  # noqa: S608
    server = servers(database.url)
    assert report(server, ids(server, [SAMPLE])[0], 0).status_code == 202
    assert (rows(database), database.ask("SELECT version_num FROM alembic_version")) == (2, "0004")
    eventually(lambda: server.metric("model_outcomes") == 2, "both are shown")


def test_old_outcomes_are_deleted_by_two_servers_at_once(servers: Start, database: Postgresql) -> None:
    engine = sql.create_engine(database.url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        upgrade(connection)
    engine.dispose()
    old = "'heart-disease', 'v1', 1, 1, 'disease', 'no_disease', 0.75, 0.5625, NULL"
    database.ask(f"INSERT INTO outcomes SELECT number, {old} FROM generate_series(1, 1700) AS number")  # noqa: S608
    database.ask("INSERT INTO earlier_outcomes SELECT 1, '7', 'disease', 1, 1")
    with ThreadPoolExecutor(2) as both:
        running = list(both.map(servers, [database.url] * 2))
    assert report(running[0], ids(running[0], [SAMPLE])[0], 0).status_code == 202
    eventually(lambda: rows(database) == 1, "the old ones are gone")
    assert database.ask("SELECT count(*) FROM earlier_outcomes") == "0"

    def deleted() -> int:
        lines = [line for server in running for line in server.lines if "old outcomes deleted" in line]
        return sum(json.loads(line)["rows"] for line in lines)

    eventually(lambda: deleted() == 1700, "each by one of the two")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(file: Path) -> None:
    """Write until the disk is full."""
    with suppress(OSError), file.open("wb", 0) as filler:
        while True:
            filler.write(bytes(4096))


def test_a_full_or_read_only_disk_is_reported_and_loses_nothing(disk: Path, servers: Start) -> None:
    server = servers(f"sqlite:///{disk}/outcomes.db")
    every = ids(server, [SAMPLE] * 1000)
    eventually(lambda: server.metric("feedback_store_up") == 1, "the schema is there")
    fill(disk / "filler")
    statuses: list[int] = []
    while 503 not in statuses:
        statuses.append(report(server, every[len(statuses)], 1).status_code)
    assert server.post("/predict", SAMPLE).status_code == 200
    (disk / "filler").unlink()
    rejected = every[len(statuses) - 1]
    assert report(server, rejected, 1).status_code in (200, 202)
    assert {report(server, prediction_id, 1).status_code for prediction_id in every[: len(statuses)]} == {200}

    assert server.stop() == 0
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    again = servers(f"sqlite:///{disk}/outcomes.db")
    problem(report(again, every[-1], 1), 503, "StoreUnavailable")
    eventually(lambda: again.metric("feedback_store_up") == 0, "metrics show it")
    assert again.post("/predict", SAMPLE).status_code == 200
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    assert report(again, every[-1], 1).status_code == 202
    eventually(lambda: again.metric("feedback_store_up") == 1, "the store is up")
    eventually(lambda: again.metric("model_outcomes") == len(statuses) + 1, "all are shown")


def test_a_closed_database_port_is_reported_in_time(servers: Start) -> None:
    server = servers("postgresql://api:secret@127.0.0.1:9/outcomes")
    (prediction_id,) = ids(server, [SAMPLE])
    began = time.monotonic()
    problem(report(server, prediction_id, 1), 503, "StoreUnavailable")
    assert time.monotonic() - began < 10
    assert requests.get(f"{server.url}/readyz", timeout=5).status_code == 200
