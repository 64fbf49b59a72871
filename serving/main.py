"""Starts the server: reads the settings, fetches a registered model, and serves in one process or several."""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastapi import FastAPI

from bundle.errors import BundleError
from registry.fetch import fetched
from registry.mlflow import MlflowServer
from serving.logs import configure_logs
from serving.server import ServerError, listen, quiet_logs, serve
from serving.settings import Settings, SettingsError, load_settings
from serving.workers import LIBRARYS_FOLDER, Supervisor, make_app

log = logging.getLogger("serving")

LISTENS_ONCE = (
    "error: METRICS_PORT needs python api_server.py: uvicorn api_server:app listens on one port alone, "
    "which would have no /metrics"
)


def bare_app() -> FastAPI:
    """Return the application for `uvicorn api_server:app`; exit with a sentence if it cannot be made."""
    try:
        settings = load_settings()
        if settings.metrics_port is not None:
            raise SystemExit(LISTENS_ONCE)
        configure_logs(settings.log_level, settings.log_format)
        warn_of_random_salt(settings)
        with registered_model(settings) as settings:
            return make_app(settings, given_workers_folder())
    except (SettingsError, BundleError) as error:
        raise SystemExit(f"error: {error}") from None


def run() -> int:
    """Serve until a signal, and return the exit code; ServerError if the server cannot start."""
    try:
        settings = load_settings()
        quiet_logs(settings)
        warn_of_random_salt(settings)
        os.environ.pop(LIBRARYS_FOLDER, None)  # the supervisor makes its own, empty
        with listen(settings) as listeners, registered_model(settings) as settings:
            if settings.workers > 1:
                return Supervisor(settings, listeners).run()
            return serve(make_app(settings), settings, listeners)
    except (SettingsError, BundleError) as error:
        raise ServerError(str(error)) from None


def warn_of_random_salt(settings: Settings) -> None:
    """Log what a canary without a fixed salt means."""
    if settings.canary_percent and settings.canary_salt_file is None:
        log.warning(
            "the canary's salt is random: keys change their version at each start and between replicas",
            extra={"fields": {"remedy": "set CANARY_SALT_FILE"}},
        )


@contextmanager
def registered_model(settings: Settings) -> Iterator[Settings]:
    """Yield settings in which every model is a folder; a registered version is fetched first."""
    reference = settings.registered
    if reference is None:
        yield settings
        return
    mlflow = MlflowServer(settings.mlflow_tracking_uri or "", settings.mlflow_credentials)
    with fetched(reference, mlflow) as model:
        yield settings.for_registered(model)


def given_workers_folder() -> Path | None:
    """Return where workers share counts if they are another server's, such as `uvicorn --workers`."""
    folder = os.environ.get(LIBRARYS_FOLDER)
    return Path(folder) if folder else None
