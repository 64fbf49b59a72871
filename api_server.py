"""Serves predictions: `python api_server.py`, or `uvicorn api_server:app`. Settings: docs/settings.md."""

import sys

from serving.main import bare_app, run
from serving.server import ServerError


def __getattr__(name: str) -> object:
    """Make `app` when it is asked for, so that a supervisor of workers loads no model."""
    if name == "app":
        return bare_app()
    raise AttributeError(name)


if __name__ == "__main__":
    try:
        sys.exit(run())
    except ServerError as error:
        sys.exit(f"error: {error}")
