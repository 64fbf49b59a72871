"""Shared by the commands of this package: their options, and a sentence for each failure."""

import argparse
import atexit
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bundle.errors import BundleError, InvalidRowsError, printable
from registry.mlflow import MlflowServer
from training.export import ParityError
from training.table import DataError

ARTIFACT = re.compile(
    r"runs:/(?P<run>[0-9a-f]{32})/(?P<path>[A-Za-z0-9_-][\w.-]*(/[A-Za-z0-9_-][\w.-]*)*)", re.ASCII
)


def parser(name: str, description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m {name}", description=description)
    parser.add_argument("--model", default="heart-disease", help="folder under --models-dir (heart-disease)")
    parser.add_argument("--models-dir", type=Path, default=Path("models"), help="where models live (models)")
    parser.add_argument(
        "--data", type=rows_file, help="CSV file of labelled rows, or runs:/RUN/PATH (the model's own data)"
    )
    return parser


def rows_file(text: str) -> Path:
    """Return the file that an option names: a path, or an artifact of an MLflow run (runs:/RUN/PATH)."""
    if not text.startswith("runs:"):
        return Path(text)
    found = ARTIFACT.fullmatch(text)
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if not found:
        raise argparse.ArgumentTypeError(f"{text} is no artifact of a run, such as runs:/{32 * '0'}/rows.csv")
    if not uri:
        raise argparse.ArgumentTypeError(f"{text} needs MLFLOW_TRACKING_URI, such as http://127.0.0.1:5001")
    folder = Path(tempfile.mkdtemp(prefix="rows-"))
    atexit.register(shutil.rmtree, folder)
    file = folder / Path(found["path"]).name
    try:
        mlflow = MlflowServer(uri)
        root = mlflow.run_artifacts(found["run"], text)
        mlflow.artifact(f"{root}/{found['path']}", text, file)
    except BundleError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return file


def exit_code(work: Callable[[], object]) -> int:
    """Do the work and return 0, or print a sentence about its failure and return 1."""
    try:
        work()
    except (BundleError, DataError, ParityError) as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
    except OSError as error:
        print(f"error: {error.filename} cannot be read or written: {error.strerror}", file=sys.stderr)
    except InvalidRowsError as error:
        first = error.errors[0]
        sentence = printable(f"row {first.row} of the data: {first.field} {first.detail}")
        print(f"error: {sentence}", file=sys.stderr)
    else:
        return 0
    return 1
