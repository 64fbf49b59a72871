"""The store of outcomes by itself, on SQLite; tests/programs/test_feedback.py has PostgreSQL."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sql

from serving.feedback.outcomes import Outcome, Verdict
from serving.feedback.prediction_counts import PredictionCount
from serving.feedback.store import Store, upgrade

NOW = 1_800_000_000
FALSE = Outcome("a", "heart-disease", "v1", NOW, NOW, "no_disease", "disease", 0.25, 0.5625)
TRUE = replace(FALSE, received_at=NOW + 60, outcome="no_disease", squared_error=0.0625)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "outcomes.db"


@pytest.fixture
def store(file: Path) -> Iterator[Store]:
    store = Store(f"sqlite:///{file}")
    yield store
    store.close()


def ask(file: Path, statement: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(file) as database:
        return database.execute(statement).fetchall()


def test_a_correction_counts_and_the_first_outcome_is_kept(store: Store, file: Path) -> None:
    assert store.add(FALSE) is Verdict.NEW
    assert store.add(TRUE) is Verdict.CONTRADICTED
    assert [store.add(TRUE, correction=True) for _ in range(2)] == [Verdict.CORRECTED, Verdict.KNOWN]
    (cell,) = store.cells("heart-disease", 0, NOW + 1)
    assert (cell.outcome, cell.rows, cell.squared_error) == ("no_disease", 1, 0.0625)
    back = replace(FALSE, received_at=NOW + 120)
    assert store.add(back, correction=True) is Verdict.CORRECTED
    (cell,) = store.cells("heart-disease", 0, NOW + 1)
    assert (cell.outcome, cell.rows, cell.squared_error) == ("disease", 1, 0.5625)
    earlier = "SELECT number, outcome, received_at, replaced_at FROM earlier_outcomes ORDER BY id"
    assert ask(file, earlier) == [("a", "disease", NOW, NOW + 60), ("a", "no_disease", NOW + 60, NOW + 120)]
    assert ask(file, "SELECT received_at FROM outcomes") == [(NOW + 120,)]


def test_a_correction_without_an_earlier_outcome_is_a_first_outcome(store: Store, file: Path) -> None:
    assert store.add(TRUE, correction=True) is Verdict.NEW
    assert ask(file, "SELECT * FROM earlier_outcomes") == []


def test_no_concurrent_correction_is_lost(store: Store, file: Path) -> None:
    others = [store, *(Store(f"sqlite:///{file}") for _ in range(3))]  # as other processes have them
    assert store.add(FALSE) is Verdict.NEW
    reported = [(others[place % 4], (TRUE, FALSE)[place // 4 % 2]) for place in range(80)]
    with ThreadPoolExecutor(8) as clients:
        verdicts = list(clients.map(lambda report: report[0].add(report[1], correction=True), reported))
    assert set(verdicts) == {Verdict.CORRECTED, Verdict.KNOWN}
    kept = [
        *ask(file, "SELECT outcome FROM earlier_outcomes ORDER BY id"),
        *ask(file, "SELECT outcome FROM outcomes"),
    ]
    assert len(kept) == 1 + verdicts.count(Verdict.CORRECTED)
    # each replaced the other, so that they alternate
    assert kept == [("disease",) if place % 2 == 0 else ("no_disease",) for place in range(len(kept))]
    for other in others[1:]:
        other.close()


@pytest.mark.parametrize("revision", ["0001", "0002", "0003"])
def test_outcomes_of_an_earlier_schema_can_be_corrected(store: Store, file: Path, revision: str) -> None:
    engine = sql.create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        upgrade(connection, revision)
        row = f"('a', 'heart-disease', 'v1', {NOW}, {NOW}, 'no_disease', 'disease', 0.25, 0.5625)"
        connection.execute(sql.text(f"INSERT INTO outcomes VALUES {row}"))  # noqa: S608
    engine.dispose()
    assert store.add(FALSE) is Verdict.KNOWN
    assert store.add(TRUE, correction=True) is Verdict.CORRECTED
    assert ask(file, "SELECT outcome FROM earlier_outcomes") == [("disease",)]
    (cell,) = store.cells("heart-disease", 0, NOW + 1)
    assert (cell.rows, cell.origin) == (1, None)


DAY = 86_400
EXPIRED = NOW - 90 * DAY  # where ids expire, or the window begins


def outcomes(number: str, predicted_at: int, received_at: int) -> list[Outcome]:
    """Return two outcomes of one prediction, of which the second corrects the first."""
    first = replace(FALSE, number=number, predicted_at=predicted_at, received_at=received_at)
    return [first, replace(first, outcome="no_disease")]


def test_only_obsolete_outcomes_are_deleted(store: Store, file: Path) -> None:
    kept = [
        *outcomes("id valid", EXPIRED, EXPIRED),
        *outcomes("new", NOW, NOW),
    ]
    old = [
        *outcomes("old", EXPIRED - 1, EXPIRED - 1),
        *outcomes("old, reported late", EXPIRED - 1, NOW),
    ]
    for outcome in kept + old:
        store.add(outcome, correction=True)
    assert [store.delete_old(EXPIRED, 500) for _ in range(2)] == [2, 0]
    for table in ("outcomes", "earlier_outcomes"):
        assert {number for (number,) in ask(file, f"SELECT number FROM {table}")} == {  # noqa: S608
            outcome.number for outcome in kept
        }


def test_old_outcomes_are_deleted_in_batches_by_several_processes_at_once(store: Store, file: Path) -> None:
    for number in range(70):
        store.add(replace(FALSE, number=str(number), predicted_at=0, received_at=0))
    assert store.add(FALSE) is Verdict.NEW
    others = [store, Store(f"sqlite:///{file}")]
    with ThreadPoolExecutor(2) as both:
        deleted = list(both.map(lambda place: others[place % 2].delete_old(EXPIRED, 10), range(10)))
    assert deleted.count(10) == 7
    assert sum(deleted) == 70
    assert ask(file, "SELECT number FROM outcomes") == [("a",)]
    others[1].close()


def test_old_outcomes_are_found_by_an_index(store: Store, file: Path) -> None:
    store.add(FALSE)
    plan = "EXPLAIN QUERY PLAN SELECT number FROM outcomes WHERE predicted_at < 1"
    assert "outcomes_age" in str(ask(file, plan))


def test_outcomes_are_of_the_days_of_their_predictions_and_of_one_origin(store: Store) -> None:
    for number, (age, origin) in enumerate([(0, "a@0.5"), (1, "a@0.5"), (1, "a@0.2"), (2, "a@0.5")]):
        store.add(replace(FALSE, number=str(number), predicted_at=NOW - age * DAY, origin=origin))
    found = store.cells("heart-disease", NOW - DAY, NOW)
    assert sorted((cell.origin, cell.rows) for cell in found) == [("a@0.2", 1), ("a@0.5", 1)]


def test_predictions_of_several_processes_add_up_by_day_and_class(store: Store, file: Path) -> None:
    today = NOW // DAY
    other = Store(f"sqlite:///{file}")
    sick = PredictionCount("heart-disease", "v1", "a@0.5", today, "disease", 3)
    store.count_predictions([sick, replace(sick, predicted="no_disease", rows=5)])
    other.count_predictions([replace(sick, rows=4), replace(sick, day=today - 1, rows=9)])
    store.count_predictions([])
    assert {
        count.predicted: count.rows for count in store.predictions("heart-disease", today, today + 1)
    } == {
        "disease": 7,
        "no_disease": 5,
    }
    assert sum(count.rows for count in store.predictions("heart-disease", today - 1, today + 1)) == 21
    store.delete_old(today * DAY, 500)
    assert sum(count.rows for count in store.predictions("heart-disease", 0, today + 1)) == 12
    other.close()
