"""How Alembic reaches the database: over the connection that serving/store.py hands it."""

from alembic import context

from serving.store import METADATA

context.configure(
    connection=context.config.attributes["connection"], target_metadata=METADATA, transactional_ddl=True
)
context.run_migrations()
