"""How Alembic reaches the database: over the connection that serving/feedback/store.py hands it."""

from alembic import context

from serving.feedback.store import METADATA

context.configure(
    connection=context.config.attributes["connection"], target_metadata=METADATA, transactional_ddl=True
)
context.run_migrations()
