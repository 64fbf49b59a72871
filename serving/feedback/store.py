"""Keeps predictions with their outcomes in a database, SQLite or PostgreSQL.

An acknowledged outcome is on disk. Of each prediction one outcome counts, however often it is reported;
outcomes that a correction replaced are kept in a second table. Feature values are not stored. The schema is
Alembic's (serving/feedback/migrations); the first process brings it up to date.
"""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sql
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from bundle.errors import printable
from serving.feedback.outcomes import SCORE_BINS, SECONDS_A_DAY, Cell, Outcome, StoreError, Verdict
from serving.feedback.prediction_counts import PredictionCount
from serving.settings import SettingsError

MIGRATIONS = Path(__file__).resolve().parent / "migrations"
MIGRATION_LOCK = 7_461_928_375
"""Any number: PostgreSQL lets one process at a time migrate under it."""

CONNECTIONS = 5
WAIT_SECONDS = 4

SQLITE_SETTINGS = ("journal_mode = WAL", "synchronous = FULL", f"busy_timeout = {WAIT_SECONDS * 1000}")
POSTGRESQL_SETTINGS = {
    "connect_timeout": 3,
    "tcp_user_timeout": 5000,
    "application_name": "prediction-api",
    "options": f"-c synchronous_commit=on -c statement_timeout={WAIT_SECONDS * 1000}",
}

logging.getLogger("alembic").setLevel(logging.WARNING)  # it logs each of its parts

METADATA = sql.MetaData()
OUTCOMES = sql.Table(
    "outcomes",
    METADATA,
    sql.Column("number", sql.String(24), primary_key=True),
    sql.Column("model", sql.String(63), nullable=False),
    sql.Column("version", sql.String(63), nullable=False),
    sql.Column("predicted_at", sql.BigInteger, nullable=False),
    sql.Column("received_at", sql.BigInteger, nullable=False),
    sql.Column("predicted", sql.String(255), nullable=False),
    sql.Column("outcome", sql.String(255), nullable=False),
    sql.Column("score", sql.Double, nullable=False),
    sql.Column("squared_error", sql.Double, nullable=False),
    sql.Column("origin", sql.String(64)),
    sql.Index("outcomes_predicted", "model", "predicted_at"),
    sql.Index("outcomes_age", "predicted_at", "received_at"),
)
EARLIER = sql.Table(
    "earlier_outcomes",
    METADATA,
    sql.Column("id", sql.Integer, primary_key=True),
    sql.Column("number", sql.String(24), nullable=False),
    sql.Column("outcome", sql.String(255), nullable=False),
    sql.Column("received_at", sql.BigInteger, nullable=False),
    sql.Column("replaced_at", sql.BigInteger, nullable=False),
    sql.Index("earlier_outcomes_number", "number"),
)
PREDICTIONS = sql.Table(
    "prediction_counts",
    METADATA,
    sql.Column("model", sql.String(63), primary_key=True),
    sql.Column("version", sql.String(63), primary_key=True),
    sql.Column("origin", sql.String(64), primary_key=True),
    sql.Column("day", sql.Integer, primary_key=True, autoincrement=False),
    sql.Column("predicted", sql.String(255), primary_key=True),
    sql.Column("rows", sql.BigInteger, nullable=False),
)


class Store:
    """A database of outcomes, which may be unreachable at any time."""

    def __init__(self, url: str) -> None:
        sqlite = url.startswith("sqlite:")
        self._insert: Any = insert_sqlite if sqlite else insert_postgresql
        self._engine = make_engine(url, {} if sqlite else POSTGRESQL_SETTINGS)
        if sqlite:
            sql.event.listen(self._engine, "connect", _prepare_sqlite)
            sql.event.listen(self._engine, "begin", _begin_sqlite)
        self._migrated = False

    def add(self, outcome: Outcome, correction: bool = False) -> Verdict:
        """Store an outcome, on disk when this returns; StoreError where that is not certain.

        A correction replaces another outcome, which is kept in `earlier_outcomes`.
        """
        columns = OUTCOMES.c
        same_prediction = columns.number == outcome.number
        with self._transaction() as connection:
            statement = self._insert(OUTCOMES).values(**asdict(outcome)).on_conflict_do_nothing()
            # psycopg tells no number of rows here
            if connection.execute(statement.returning(columns.number)).first():
                return Verdict.NEW
            kept = sql.select(columns.outcome, columns.received_at).where(same_prediction)
            # without the lock PostgreSQL would let two corrections replace the same outcome
            before = connection.execute(kept.with_for_update() if correction else kept).one()
            if before.outcome == outcome.outcome:
                return Verdict.KNOWN
            if not correction:
                return Verdict.CONTRADICTED
            changed = {"received_at": outcome.received_at, "squared_error": outcome.squared_error}
            connection.execute(
                sql.update(OUTCOMES).where(same_prediction).values(outcome=outcome.outcome, **changed)
            )
            earlier = {"received_at": before.received_at, "replaced_at": outcome.received_at}
            connection.execute(
                sql.insert(EARLIER).values(number=outcome.number, outcome=before.outcome, **earlier)
            )
        return Verdict.CORRECTED

    def cells(self, model: str, since: int, until: int) -> list[Cell]:
        """Return the outcomes of a model's predictions from one Unix second to before another, in cells."""
        columns = OUTCOMES.c
        bounds = [(columns.score < (number + 1) / SCORE_BINS, number) for number in range(SCORE_BINS - 1)]
        score_bin = sql.case(*bounds, else_=SCORE_BINS - 1).label("score_bin")
        group: Sequence[Any] = (
            columns.version,
            columns.predicted,
            columns.outcome,
            columns.origin,
            score_bin,
        )
        statement = (
            sql.select(
                *group,
                sql.func.count().label("rows"),
                sql.func.sum(columns.score).label("score"),
                sql.func.sum(columns.squared_error).label("squared_error"),
                sql.func.sum(columns.squared_error * columns.squared_error).label("squared_error_squared"),
            )
            .where(columns.model == model, columns.predicted_at >= since, columns.predicted_at < until)
            .group_by(*group)
        )
        with self._transaction() as connection:
            return [Cell(**row) for row in connection.execute(statement).mappings()]

    def count_predictions(self, counts: Sequence[PredictionCount]) -> None:
        """Add predictions to those that are known."""
        if not counts:
            return
        insert = self._insert(PREDICTIONS).values([asdict(count) for count in counts])
        columns = PREDICTIONS.c
        more = {"rows": columns.rows + insert.excluded.rows}
        with self._transaction() as connection:
            connection.execute(
                insert.on_conflict_do_update(index_elements=PREDICTIONS.primary_key, set_=more)
            )

    def predictions(self, model: str, since_day: int, until_day: int) -> list[PredictionCount]:
        """Return the predictions of a model by version, origin and class, over days since 1970 (UTC)."""
        columns = PREDICTIONS.c
        group = (columns.version, columns.origin, columns.predicted)
        statement = (
            sql.select(*group, sql.cast(sql.func.sum(columns.rows), sql.BigInteger).label("rows"))
            .where(columns.model == model, columns.day >= since_day, columns.day < until_day)
            .group_by(*group)
        )
        with self._transaction() as connection:
            found = connection.execute(statement).mappings()
            return [PredictionCount(model=model, day=since_day, **row) for row in found]

    def delete_old(self, predicted_before: int, most: int) -> int:
        """Delete up to `most` outcomes of predictions before a second, with those that they replaced.

        The numbers of these predictions go, too.
        """
        columns = OUTCOMES.c
        # rows that another process is deleting are skipped
        old = (
            sql.select(columns.number)
            .where(columns.predicted_at < predicted_before)
            .limit(most)
            .with_for_update(skip_locked=True)
        )
        with self._transaction() as connection:
            numbers = connection.scalars(old).all()
            for column in (EARLIER.c.number, columns.number) if numbers else ():
                connection.execute(sql.delete(column.table).where(column.in_(numbers)))
            past = PREDICTIONS.c.day < predicted_before // SECONDS_A_DAY
            connection.execute(sql.delete(PREDICTIONS).where(past))
        return len(numbers)

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def _transaction(self) -> Iterator[sql.Connection]:
        try:
            self._migrate()
            with self._engine.begin() as connection:
                yield connection
        except (SQLAlchemyError, CommandError, OSError) as error:
            raise StoreError(_cause(error, self._engine.url)) from error

    def _migrate(self) -> None:
        """Bring the schema up to date, once a process."""
        if self._migrated:
            return
        with self._engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sql.select(sql.func.pg_advisory_xact_lock(MIGRATION_LOCK)))
                # to index years of outcomes takes longer than clients wait
                connection.execute(sql.text("SET LOCAL statement_timeout = 0"))
            if not of_later_release(connection):
                upgrade(connection)
        self._migrated = True


def make_engine(url: str, options: Mapping[str, Any]) -> sql.Engine:
    """Return an engine for a database; SettingsError where SQLAlchemy does not understand its URL."""
    try:
        parsed = sql.make_url(url)
        if options:
            parsed = parsed.set(drivername="postgresql+psycopg")
        return sql.create_engine(
            parsed,
            connect_args=dict(options),
            pool_size=CONNECTIONS,
            max_overflow=0,
            pool_timeout=WAIT_SECONDS,
            pool_pre_ping=bool(options),
            hide_parameters=True,
        )
    except (SQLAlchemyError, ValueError, TypeError) as error:  # their messages repeat parts of the URL
        raise SettingsError(
            f"FEEDBACK_DATABASE: this URL cannot be used ({type(error).__name__}); see docs/feedback.md"
        ) from None


def upgrade(connection: sql.Connection, revision: str = "head") -> None:
    """Bring the schema to a revision."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def of_later_release(connection: sql.Connection) -> bool:
    """Return whether the schema is that of a later release, which was rolled back.

    Migrations only add, so that this one goes on with it.
    """
    revision = MigrationContext.configure(connection).get_current_revision()
    return revision is not None and revision > str(ScriptDirectory(str(MIGRATIONS)).get_current_head())


def _prepare_sqlite(connection: Any, _: ConnectionPoolEntry) -> None:
    """Have SQLite write through to the disk, and leave transactions to us."""
    connection.isolation_level = None
    for setting in SQLITE_SETTINGS:
        connection.execute(f"PRAGMA {setting}")


def _begin_sqlite(connection: sql.Connection) -> None:
    """Take the lock at once: a transaction that reads first could not get it later."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _cause(error: Exception, url: sql.URL) -> str:
    """Return the first line of the database's message, without parts of its URL."""
    said = str(getattr(error, "orig", None) or error).strip().splitlines()
    return printable(f"{type(error).__name__}: {without(url, said[0]) if said else 'no details'}")


def without(url: sql.URL, said: str) -> str:
    """Return a text without user, password, host and options of a URL: a secret may be any of them."""
    options = [*url.query, *chain.from_iterable(url.normalized_query.values())]
    for part in sorted(filter(None, [url.username, url.password, url.host, *options]), key=len, reverse=True):
        for written in (part, quote(part, safe=""), repr(part)[1:-1]):
            said = re.sub(rf"(?<!\w){re.escape(written)}(?!\w)", "***", said)
    return said
