"""What decided each prediction; predictions by class; and an index by when they were made."""

import sqlalchemy as sql
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("outcomes", sql.Column("origin", sql.String(64)))
    op.create_index("outcomes_predicted", "outcomes", ["model", "predicted_at"])
    op.drop_index("outcomes_received", "outcomes")
    op.create_table(
        "prediction_counts",
        sql.Column("model", sql.String(63), primary_key=True),
        sql.Column("version", sql.String(63), primary_key=True),
        sql.Column("origin", sql.String(64), primary_key=True),
        sql.Column("day", sql.Integer, primary_key=True, autoincrement=False),
        sql.Column("predicted", sql.String(255), primary_key=True),
        sql.Column("rows", sql.BigInteger, nullable=False),
    )
