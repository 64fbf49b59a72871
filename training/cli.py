"""Shared by the commands of this package: their options, and a sentence for each failure."""

import argparse
import atexit
import os
import re
import shutil
import signal
import sys
import tempfile
from asyncio import CancelledError
from collections.abc import Callable, Sequence
from pathlib import Path

from bundle.errors import BundleError
from registry.credentials import PASSWORD, TOKEN, USERNAME, read_credentials
from registry.mlflow import MlflowServer
from training import INTERRUPTED, interruptible
from training.failures import FAILURES, sentence
from training.recipe import described
from training.table import CellError, DataError

UNREAD = 128 + signal.SIGPIPE

ARTIFACT = re.compile(
    r"runs:/(?P<run>[0-9a-f]{32})/(?P<path>[A-Za-z0-9_-][\w.-]*(/[A-Za-z0-9_-][\w.-]*)*)", re.ASCII
)


REMOTE = (
    "runs:/ and models:/ are with the MLflow server that MLFLOW_TRACKING_URI names. It gets the secrets in "
    f"{USERNAME} and {PASSWORD}, or in {TOKEN}; {PASSWORD}_FILE and {TOKEN}_FILE name files that hold them."
)


def parser(name: str, description: str) -> argparse.ArgumentParser:
    interruptible()
    parser = argparse.ArgumentParser(prog=f"python -m {name}", description=description, epilog=REMOTE)
    parser.add_argument("--model", default="heart-disease", help="folder under --models-dir (heart-disease)")
    parser.add_argument("--models-dir", type=Path, default=Path("models"), help="where models live (models)")
    parser.add_argument(
        "--data",
        type=rows_file,
        help="labelled rows as CSV or Parquet, or runs:/RUN/PATH (the model's own data)",
    )
    return parser


def rows_file(text: str) -> Path:
    """Return the file that an option names: a path, or an artifact of an MLflow run (runs:/RUN/PATH)."""
    if not text.startswith("runs:"):
        return Path(text)
    found = ARTIFACT.fullmatch(text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text} is no artifact of a run, such as runs:/{32 * '0'}/rows.csv")
    folder = Path(tempfile.mkdtemp(prefix="rows-"))
    atexit.register(shutil.rmtree, folder)
    file = folder / Path(found["path"]).name
    try:
        mlflow = mlflow_server(text)
        root = mlflow.run_artifacts(found["run"], text)
        mlflow.artifact(f"{root}/{found['path']}", text, file)
    except BundleError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return file


def mlflow_server(wanted: str) -> MlflowServer:
    """Return the server that the environment names for what is wanted; BundleError if it names none."""
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if not uri:
        raise BundleError(f"{wanted} needs MLFLOW_TRACKING_URI, such as http://127.0.0.1:5001")
    try:
        credentials = read_credentials(os.environ)
    except ValueError as error:
        raise BundleError(str(error)) from None
    return MlflowServer(uri, credentials)


def exit_code(work: Callable[[], object], *, show_cells: bool = False) -> int:
    """Do the work and return 0, or print a sentence about each failure and return 1.

    `show_cells` adds the text of the cell that cannot be read: for a terminal, not for the log of a Job.
    130 if it is interrupted, 141 if nobody reads the output any more.
    """
    interruptible(cleanly=True)
    try:
        failures = _failures(work)
        sys.stdout.flush()
        for failure in failures:
            shown = failure.shown if show_cells and isinstance(failure, CellError) else ""
            print(f"error: {sentence(failure)}{shown}", file=sys.stderr)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        nothing = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):  # Python flushes what is left at its end
            os.dup2(nothing, stream.fileno())
        return UNREAD
    return 1 if failures else 0


def _failures(work: Callable[[], object]) -> Sequence[BaseException]:
    """Do the work and return what failed; whatever is none of FAILURES is a defect, and raised."""
    try:
        work()
    except BrokenPipeError:
        raise
    except ExceptionGroup as group:
        return group.exceptions
    except FAILURES as error:
        return [error]
    except (SystemExit, GeneratorExit, CancelledError, BaseExceptionGroup) as error:  # of a model's own code
        return [DataError(described(error))]
    return []
