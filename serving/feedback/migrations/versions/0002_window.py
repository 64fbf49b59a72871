"""An index by which the outcomes of a window are found, where years of them are kept."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_index("outcomes_received", "outcomes", ["model", "received_at"])
