"""A running server deletes obsolete outcomes, and accepts none twice."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from time import time

import pytest
import sqlalchemy as sql

from serving.feedback.store import upgrade
from tests.contract.test_feedback import ids, report, settings_for
from tests.harness import SAMPLE, Server, eventually

pytestmark = pytest.mark.heart

DAY = 86_400
OLD_ROWS = 700  # more than a batch


def fill(folder: Path) -> None:
    """Store old outcomes, and some that are old by only one of the two limits, of ids and of the window."""
    engine = sql.create_engine(f"sqlite:///{folder}/outcomes.db")
    with engine.begin() as connection:
        upgrade(connection)
    engine.dispose()
    now = int(time())
    # the window is of 2 days, and compared with the 4 before
    ages = {f"old {place}": (9, 3) for place in range(OLD_ROWS)} | {
        "in the window": (1, 1),
        "before the window": (6, 6),
        "valid id": (4, 3),
    }
    rows = [
        (
            number,
            "gone" if number.startswith("old") else "heart-disease",
            now - predicted * DAY,
            now - received * DAY,
        )
        for number, (predicted, received) in ages.items()
    ]
    with sqlite3.connect(folder / "outcomes.db") as database:
        database.executemany(
            "INSERT INTO outcomes VALUES (?, ?, 'v1', ?, ?, 'disease', 'disease', 0.75, 0.0625, NULL)", rows
        )
        database.execute("INSERT INTO earlier_outcomes VALUES (1, 'old 7', 'no_disease', 1, 2)")


def numbers(folder: Path, table: str = "outcomes") -> set[str]:
    with sqlite3.connect(folder / "outcomes.db") as database:
        return {number for (number,) in database.execute(f"SELECT number FROM {table}")}  # noqa: S608


def deleted(server: Server) -> int:
    parsed = [json.loads(line) for line in server.lines if line.startswith("{")]
    return sum(line["rows"] for line in parsed if line["message"] == "old outcomes deleted")


def test_old_outcomes_are_deleted_while_others_are_accepted(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    fill(tmp_path)
    lasting = {"in the window", "before the window", "valid id"}
    server = start(**settings_for(tmp_path, FEEDBACK_DAYS="5", FEEDBACK_WINDOW_DAYS="2", WORKERS="2"))
    assert report(server, ids(server, [SAMPLE])[0], 0).status_code == 202
    eventually(lambda: len(numbers(tmp_path)) == 4, "the old ones are gone")
    assert lasting < numbers(tmp_path)
    assert numbers(tmp_path, "earlier_outcomes") == set()
    eventually(lambda: deleted(server) == OLD_ROWS, "the log says how many")
    eventually(lambda: server.metric("model_outcomes") == 2, "what is in the window is shown")


def test_a_failed_deletion_is_reported(start: Callable[..., Server], tmp_path: Path) -> None:
    fill(tmp_path)
    with sqlite3.connect(tmp_path / "outcomes.db") as database:
        database.execute(
            "CREATE TRIGGER t BEFORE DELETE ON outcomes BEGIN SELECT RAISE(FAIL, 'kept by law'); END"
        )
    server = start(**settings_for(tmp_path, FEEDBACK_DAYS="5", FEEDBACK_WINDOW_DAYS="2"))
    warned = lambda: [line for line in server.lines if "old outcomes cannot be deleted" in line]  # noqa: E731
    (line,) = eventually(warned, "it is logged")
    assert json.loads(line)["level"] == "warning"
    assert "kept by law" in line
    assert len(numbers(tmp_path)) == OLD_ROWS + 3
    assert report(server, ids(server, [SAMPLE])[0], 0).status_code == 202
