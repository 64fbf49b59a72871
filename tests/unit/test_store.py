"""The store of outcomes by itself, on SQLite; tests/cluster/test_feedback.py has PostgreSQL."""

import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sql

from serving.outcomes import Outcome, Verdict
from serving.store import Store, upgrade

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


def test_a_correction_counts_and_the_first_is_kept_beside_it(store: Store, file: Path) -> None:
    assert store.add(FALSE) is Verdict.NEW
    assert store.add(TRUE) is Verdict.CONTRADICTED
    assert [store.add(TRUE, correction=True) for _ in range(2)] == [Verdict.CORRECTED, Verdict.KNOWN]
    (cell,) = store.cells("heart-disease", 0)
    assert (cell.outcome, cell.rows, cell.squared_error) == ("no_disease", 1, 0.0625)
    back = replace(FALSE, received_at=NOW + 120)
    assert store.add(back, correction=True) is Verdict.CORRECTED
    (cell,) = store.cells("heart-disease", 0)
    assert (cell.outcome, cell.rows, cell.squared_error) == ("disease", 1, 0.5625)
    earlier = "SELECT number, outcome, received_at, replaced_at FROM earlier_outcomes ORDER BY id"
    assert ask(file, earlier) == [("a", "disease", NOW, NOW + 60), ("a", "no_disease", NOW + 60, NOW + 120)]
    assert ask(file, "SELECT received_at FROM outcomes") == [(NOW + 120,)]


def test_a_correction_of_what_was_never_reported_is_a_first_outcome(store: Store, file: Path) -> None:
    assert store.add(TRUE, correction=True) is Verdict.NEW
    assert ask(file, "SELECT * FROM earlier_outcomes") == []


def test_of_corrections_at_once_none_is_lost(store: Store, file: Path) -> None:
    others = [store, *(Store(f"sqlite:///{file}") for _ in range(3))]  # as other processes have them
    assert store.add(FALSE) is Verdict.NEW
    told = [(others[place % 4], (TRUE, FALSE)[place // 4 % 2]) for place in range(80)]
    with ThreadPoolExecutor(8) as clients:
        verdicts = list(clients.map(lambda one: one[0].add(one[1], correction=True), told))
    assert set(verdicts) == {Verdict.CORRECTED, Verdict.KNOWN}
    kept = [
        *ask(file, "SELECT outcome FROM earlier_outcomes ORDER BY id"),
        *ask(file, "SELECT outcome FROM outcomes"),
    ]
    assert len(kept) == 1 + verdicts.count(Verdict.CORRECTED)
    # each replaced the other, so that they alternate
    assert kept == [("disease",) if place % 2 == 0 else ("no_disease",) for place in range(len(kept))]
    for one in others[1:]:
        one.close()


@pytest.mark.parametrize("revision", ["0001", "0002"])
def test_what_an_earlier_schema_holds_can_be_corrected(store: Store, file: Path, revision: str) -> None:
    engine = sql.create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        upgrade(connection, revision)
        row = f"('a', 'heart-disease', 'v1', {NOW}, {NOW}, 'no_disease', 'disease', 0.25, 0.5625)"
        connection.execute(sql.text(f"INSERT INTO outcomes VALUES {row}"))  # noqa: S608
    engine.dispose()
    assert store.add(FALSE) is Verdict.KNOWN
    assert store.add(TRUE, correction=True) is Verdict.CORRECTED
    assert ask(file, "SELECT outcome FROM earlier_outcomes") == [("disease",)]
