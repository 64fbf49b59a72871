"""The schema's history. A migration only adds: tables, columns that may be NULL, indexes.

While releases are mixed, and after a rollback, the release before reads and writes what this one migrated.
"""
