"""Data -> pipeline -> evaluation -> bundle -> model card. Never imported by `serving`."""

from collections.abc import Callable

Say = Callable[[str], None]
"""Takes a line for people: what is done, or was found."""
