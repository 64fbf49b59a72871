"""Reads what somebody else has trained: a pipeline (joblib, pickle, skops), an ONNX file, an MLflow model.

A pickle runs whatever its maker wrote into it, so it is opened only if the user says so. A skops file is
opened if it names no other types than those of scikit-learn and numpy. The server opens neither.
"""

import importlib
import importlib.util
import io
import re
import sys
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import joblib
import sklearn
from sklearn.base import is_regressor
from sklearn.exceptions import InconsistentVersionWarning, NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from bundle.files import read_file
from bundle.manifest import MOST_FILE_BYTES
from training.exportable import check_exportable
from training.recipe import described
from training.table import DataError

PICKLES = {".joblib", ".pkl", ".pickle"}
MLFLOW_FILE = "MLmodel"
FLAVOR_FILE = re.compile(r"^\s+(?:pickled_model|data): ([\w-][\w.-]*\.(?:pkl|onnx|skops))$", re.MULTILINE)
"""The model's file in an MLmodel, which is YAML: a plain name in the same folder."""

SKOPS_SCHEMA = "schema.json"
MOST_SCHEMA_BYTES = 2**26
"""The description of a skops file, which is read as a whole; that of 1,000 trees has some 20 MB."""

TRUSTED = {"numpy.dtype"}

ABSENT_MEMBER = [
    re.compile(r"Can't get attribute '(?P<member>[\w.]+)' on <module '(?P<module>[\w.]+)'"),
    re.compile(r"module '(?P<module>[\w.]+)' has no attribute '(?P<member>\w+)'"),
]
"""What pickle says of a function or a class that is not where it was, by its protocol."""


@dataclass(frozen=True)
class Source:
    """A file: its name and content, the pipeline or the ONNX model in it, and what is to be known of it."""

    name: str
    content: bytes
    model: Any
    remarks: list[str] = field(default_factory=list)


def read_source(path: Path, *, trust: bool) -> Source:
    """Return what a file holds; DataError says why it is not opened."""
    if not path.exists():
        raise DataError(f"{path} does not exist: FILE names the trained model, from the folder you are in")
    if path.is_dir():
        path = _mlflow_model(path)
    kind = path.suffix.lower()
    content = read_file(path, MOST_FILE_BYTES)
    if kind in PICKLES and not trust:
        raise DataError(
            f"{path} is a pickle, which runs code of its maker when it is loaded: if you trust it, say so "
            "with TRUST=yes; a .skops or .onnx file needs no trust"
        )
    if kind == ".onnx":
        return Source(path.name, content, content)
    if kind not in PICKLES | {".skops"}:
        raise DataError(
            f"{path} is of no known type: give .joblib, .pkl, .pickle, .skops or .onnx, or the folder of an "
            "MLflow model"
        )
    with _opened(path), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made = _skops(path, content, trust=trust) if kind == ".skops" else joblib.load(io.BytesIO(content))
        model = classifier(made)
    others = {
        str(warning.message.original_sklearn_version)
        for warning in caught
        if isinstance(warning.message, InconsistentVersionWarning)
    }
    remarks = [f"saved by scikit-learn {other}, read by {sklearn.__version__}" for other in sorted(others)]
    return Source(path.name, content, model, remarks)


def classifier(model: Any) -> Any:
    """Return a fitted classifier, out of a search if it is in one; DataError if it is none."""
    model = getattr(model, "best_estimator_", model)
    name = type(model).__name__
    if not hasattr(model, "predict"):
        raise DataError(f"the file holds a {name}: give a fitted classifier or a pipeline that ends with one")
    if is_regressor(model):
        raise DataError(f"the {name} predicts numbers: only classifiers can be served so far")
    try:
        check_is_fitted(model)
        model.classes_  # noqa: B018  # a pipeline asks its last step
    except (NotFittedError, AttributeError):
        raise DataError(f"the {name} is not fitted: fit it, and save it again") from None
    calibrated = getattr(model, "calibrated_classifiers_", ())
    if any(isinstance(part.estimator, Pipeline) for part in calibrated):
        raise DataError(
            f"the {name} holds a whole pipeline, which cannot be exported: make it the pipeline's last step, "
            "around the classifier alone"
        )
    check_exportable(model)
    if not hasattr(model, "predict_proba"):
        raise DataError(
            f"the {name} has no predict_proba: calibrate its classifier (CalibratedClassifierCV), or choose "
            "one with probabilities"
        )
    return model


def _mlflow_model(folder: Path) -> Path:
    """Return the file of the model in a folder as MLflow saves it."""
    file = folder / MLFLOW_FILE
    if not file.is_file():
        raise DataError(
            f"{folder} is a folder without {MLFLOW_FILE}: give a file, or an MLflow model's folder"
        )
    return folder / model_file(file)


def model_file(file: Path) -> str:
    """Return the name of the model's file that an MLmodel names."""
    found = FLAVOR_FILE.search(file.read_text(encoding="utf-8", errors="replace"))
    if not found:
        raise DataError(
            f"{file} has no model of scikit-learn or ONNX: log it with mlflow.sklearn or mlflow.onnx"
        )
    return found[1]


@contextmanager
def _opened(path: Path) -> Iterator[None]:
    """Raise a DataError for whatever is raised: code of the file's maker runs here."""
    try:
        yield
    except (DataError, KeyboardInterrupt):
        raise
    except ModuleNotFoundError as error:
        raise DataError(f"{path} needs the module '{error.name}': {_to_have(str(error.name))}") from None
    except BaseException as error:  # noqa: BLE001
        for pattern in ABSENT_MEMBER if isinstance(error, AttributeError) else ():
            if found := pattern.match(str(error)):
                raise DataError(f"{path} needs {_to_have_member(**found.groupdict())}") from None
        reason = described(error)
        if isinstance(error, Exception):
            reason = reason.removeprefix(f"{type(error).__name__}: ")
        raise DataError(f"{path} cannot be opened: {reason}") from None


def _to_have(module: str) -> str:
    """Return what to do about a module that cannot be imported."""
    package = module.partition(".")[0]
    if importlib.util.find_spec(package) is not None:
        return f"install the version of {package} that saved it, or save it again with the installed one"
    return (
        "install its package into .venv; if it is your own file, name its folder (PYTHONPATH=FOLDER before "
        "make import), or call export() of training.importing where you made the pipeline"
    )


def _to_have_member(member: str, module: str) -> str:
    """Return what a pickle lacks, and what to do: a function of the notebook, or one of another version."""
    if module in {"__main__", getattr(sys.modules["__main__"].__spec__, "name", "__main__")}:
        return (
            f"'{member}', which its notebook or script defined: call export() of training.importing there, "
            "or move it into a file of its own, import it from there, and save the pipeline again"
        )
    return f"'{member}' of the module '{module}', which lacks it here: {_to_have(module)}"


def _check_unpacked(path: Path, content: bytes) -> None:
    """Reject a ZIP archive that holds far more than its own size, before any of it is unpacked."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        sizes = {member.filename: member.file_size for member in archive.infolist()}
    if sum(sizes.values()) > MOST_FILE_BYTES or sizes.get(SKOPS_SCHEMA, 0) > MOST_SCHEMA_BYTES:
        raise DataError(
            f"{path} is too large when it is unpacked: {sum(sizes.values()):,} bytes, "
            f"{sizes.get(SKOPS_SCHEMA, 0):,} of them in {SKOPS_SCHEMA}, where {MOST_SCHEMA_BYTES:,} may be"
        )


def _skops(path: Path, content: bytes, *, trust: bool) -> Any:
    try:
        from skops import io as skops_io  # noqa: PLC0415  # optional
    except ModuleNotFoundError:
        raise DataError(f"{path} needs skops: install it into .venv (pip install skops)") from None
    _check_unpacked(path, content)
    types = skops_io.get_untrusted_types(data=content)
    unknown = [name for name in types if not _is_known(name)]
    if not unknown or trust:
        return skops_io.loads(content, trusted=types)
    raise DataError(
        f"{path} names types that are not scikit-learn's: {', '.join(unknown)}; if you trust them, say so "
        "with TRUST=yes"
    )


def _is_known(name: str) -> bool:
    """Return whether a name is that of a class of scikit-learn; a function could do anything."""
    if name in TRUSTED:
        return True
    module, _, member = name.rpartition(".")
    if not module.startswith("sklearn.") or module.startswith("sklearn.externals"):
        return False
    try:
        return isinstance(getattr(importlib.import_module(module), member, None), type)
    except ImportError:
        return False
