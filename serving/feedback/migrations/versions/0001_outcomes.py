"""Outcomes of predictions."""

import sqlalchemy as sql
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "outcomes",
        sql.Column("number", sql.String(24), primary_key=True),
        sql.Column("model", sql.String(63), nullable=False),
        sql.Column("version", sql.String(63), nullable=False),
        sql.Column("predicted_at", sql.BigInteger, nullable=False),
        sql.Column("received_at", sql.BigInteger, nullable=False),
        sql.Column("predicted", sql.String(255), nullable=False),
        sql.Column("outcome", sql.String(255), nullable=False),
        sql.Column("score", sql.Double, nullable=False),
        sql.Column("squared_error", sql.Double, nullable=False),
    )
