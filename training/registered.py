"""Fetches a trained model from an MLflow server: that of a run, or a registered one."""

import atexit
import shutil
import tempfile
from argparse import ArgumentTypeError
from pathlib import Path

from bundle.errors import BundleError
from registry.mlflow import MlflowServer
from registry.reference import FORMS, parse_reference
from training.cli import ARTIFACT, mlflow_server
from training.sources import MLFLOW_FILE, PICKLES, model_file
from training.table import DataError


def trained_file(text: str) -> Path:
    """Return the file or the folder that an option names, fetched if it is with an MLflow server."""
    if not text.startswith(("runs:", "models:")):
        return Path(text)
    folder = Path(tempfile.mkdtemp(prefix="model-"))
    atexit.register(shutil.rmtree, folder)
    try:
        return _fetched(mlflow_server(text), text, folder)
    except (BundleError, DataError) as error:
        raise ArgumentTypeError(str(error).replace(str(folder / MLFLOW_FILE), text)) from None


def _fetched(mlflow: MlflowServer, text: str, folder: Path) -> Path:
    """Write one file, or MLmodel and the file that it names, into a folder; return the one or the other."""
    path = _artifacts(mlflow, text)
    file = folder / path.rpartition("/")[2]
    if file.suffix in PICKLES | {".skops", ".onnx"}:
        mlflow.artifact(path, text, file)
        return file
    mlflow.document(f"{path}/{MLFLOW_FILE}", text, folder / MLFLOW_FILE)
    name = model_file(folder / MLFLOW_FILE)
    mlflow.artifact(f"{path}/{name}", text, folder / name)
    return folder


def _artifacts(mlflow: MlflowServer, text: str) -> str:
    """Return the path of what is named, with the server."""
    if found := ARTIFACT.fullmatch(text):
        return f"{mlflow.run_artifacts(found['run'], text)}/{found['path']}"
    if reference := parse_reference(text):
        version = mlflow.resolve(reference)
        if version.alias:
            print(f"{reference} is models:/{version.name}/{version.number}")
        return mlflow.version_artifacts(version)
    raise DataError(f"{text} names no model: write runs:/{32 * '0'}/model, or {FORMS}")
