"""Outcomes that were corrected, beside those that count; and an index by which old ones are found."""

import sqlalchemy as sql
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "earlier_outcomes",
        sql.Column("id", sql.Integer, primary_key=True),
        sql.Column("number", sql.String(24), nullable=False),
        sql.Column("outcome", sql.String(255), nullable=False),
        sql.Column("received_at", sql.BigInteger, nullable=False),
        sql.Column("replaced_at", sql.BigInteger, nullable=False),
    )
    op.create_index("earlier_outcomes_number", "earlier_outcomes", ["number"])
    op.create_index("outcomes_age", "outcomes", ["predicted_at", "received_at"])
