"""A model's recipe.py: the functions that it must have, and a sentence for whatever one of them raises."""

import os
import traceback
from collections import UserList
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from inspect import isfunction
from pathlib import Path
from textwrap import shorten
from types import ModuleType
from typing import Any, cast

import numpy as np
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline

from bundle.declaration import Declaration
from bundle.errors import BundleError, InvalidRowsError
from training.converters.registry import register
from training.exportable import check_converters, check_exportable, gives_probabilities
from training.read_rows import ReadRows
from training.table import DataError

MODULE_PREFIX = "recipe_"
"""Before a model's name: no model shadows a library. Pickles name a recipe's classes by its module."""

MOST_CHARACTERS = 300

SIGNATURES = {
    "load_data": "load_data(path, declaration)",
    "build_pipeline": "build_pipeline(estimator, declaration)",
    "generate_data": "generate_data(declaration)",
}
RETURNS = {
    "load_data": "rows (a list of mappings from feature to value, as clients send them) and their labels; "
    "usually `read_table(path, declaration)`",
    "build_pipeline": "an unfitted scikit-learn pipeline from the matrix (float32 [rows, features], "
    "categories as codes, missing values as NaN) to probabilities",
    "generate_data": "rows and labels, where the model has no file of data",
}
"""What each function returns, as docs/models.md says it."""


class Recipe:
    """The functions of a model's recipe.py; `generate_data` only where the model declares no data.

    Data are rows and the label of each: only model.toml defines the order of classes. DataError if a
    function is missing, raises, or returns something else.
    """

    def __init__(self, path: Path, module: ModuleType) -> None:
        self._path = path
        self._module = module
        self._register(getattr(module, "CONVERTERS", {}))

    @property
    def generates(self) -> bool:
        """Whether the recipe makes its own data."""
        return hasattr(self._module, "generate_data")

    def load_data(self, path: Path, declaration: Declaration) -> tuple[ReadRows, Sequence[str]]:
        """Return the rows of a file, and the label of each; OSError if the file cannot be read."""
        function = self._function("load_data")
        with reported(self._path, may_fail=path):
            returned = function(path, declaration)
        return self._rows("load_data", returned)

    def generate_data(self, declaration: Declaration) -> tuple[ReadRows, Sequence[str]]:
        """Return made-up rows, and the label of each."""
        function = self._function("generate_data")
        with reported(self._path):
            returned = function(declaration)
        return self._rows("generate_data", returned)

    def build_pipeline(self, estimator: str, declaration: Declaration) -> Pipeline:
        """Return the unfitted pipeline of an estimator that model.toml names."""
        function = self._function("build_pipeline")
        with reported(self._path):
            try:
                pipeline = function(estimator, declaration)
            except KeyError as error:
                if error.args != (estimator,):
                    raise
                raise DataError(
                    f"{self._path}: build_pipeline does not know the estimator '{estimator}' that model.toml "
                    "names: add it there, or correct the name"
                ) from None
            self._check_pipeline(pipeline)
            check_converters(pipeline)
        return pipeline

    def _register(self, converters: object) -> None:
        """Let the recipe's own transformers be exported by the functions beside them."""
        if not isinstance(converters, Mapping) or not all(
            isinstance(kind, type) and callable(function) for kind, function in converters.items()
        ):
            raise DataError(
                f"{self._path}: CONVERTERS is no mapping from a class to the function that converts it: "
                "write CONVERTERS = {Doubling: convert_doubling}"
            )
        register(converters)

    def _check_pipeline(self, pipeline: object) -> None:
        searched = pipeline.estimator if isinstance(pipeline, BaseSearchCV) else pipeline
        if not isinstance(searched, Pipeline):
            raise DataError(
                f"{self._path}: build_pipeline returns {_kind(pipeline)}, not a Pipeline: return "
                "make_pipeline(...), or a search such as GridSearchCV around one"
            )
        if not searched.steps:
            raise DataError(f"{self._path}: the pipeline has no steps")
        check_exportable(searched)
        if not gives_probabilities(searched.steps[-1][1]):
            raise DataError(
                f"{self._path}: {type(searched.steps[-1][1]).__name__}, the pipeline's last step, has no "
                "predict_proba: end with a classifier that gives probabilities"
            )

    def _rows(self, name: str, returned: object) -> tuple[ReadRows, list[str]]:
        where = f"{self._path}: {name} returns"
        if not isinstance(returned, tuple) or len(returned) != 2:  # noqa: PLR2004
            raise DataError(f"{where} {_kind(returned)}, not two things: rows, and the label of each")
        rows, labels = returned
        if not isinstance(rows, list | tuple | UserList):
            raise DataError(
                f"{where} the rows as {_kind(rows)}: return a list of mappings, such as "
                "frame.to_dict('records')"
            )
        with reported(f"{where} rows that cannot be read"):
            plain = rows if isinstance(rows, ReadRows) and rows.untouched else self._mappings(where, rows)
        with reported(f"{where} labels that cannot be read"):
            if not hasattr(labels, "__len__"):
                raise DataError(f"{where} the labels as {_kind(labels)}: return a list")
            named = [str.__str__(label) if isinstance(label, str) else "" for label in labels]
        return plain, named

    @staticmethod
    def _mappings(where: str, rows: Iterable[object]) -> ReadRows:
        plain = ReadRows()
        for number, row in enumerate(rows):
            if not isinstance(row, Mapping):
                raise DataError(f"{where} {_kind(row)} as row {number}, not a mapping from feature to value")
            plain.append(_plain(row))
        return plain

    def _function(self, name: str) -> Callable[..., Any]:
        function = getattr(self._module, name, None)
        if callable(function):
            return cast("Callable[..., Any]", function)
        own = [
            found
            for found, value in vars(self._module).items()
            if isfunction(value) and value.__module__ == self._module.__name__
        ]
        raise DataError(
            f"{self._path} lacks the function {SIGNATURES[name]}; it defines {', '.join(own) or 'none'}"
        )


@contextmanager
def reported(subject: object, may_fail: Path | None = None) -> Iterator[None]:
    """Raise a DataError for whatever is raised: the line of the recipe, or else the subject, and why.

    Sentences pass unchanged, and an OSError of the file that may fail.
    """
    try:
        yield
    except (BundleError, DataError, InvalidRowsError):
        raise
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a recipe may raise anything
        if (
            isinstance(error, OSError)
            and may_fail is not None
            and error.filename in (may_fail, str(may_fail))
        ):
            raise
        raise DataError(f"{recipe_line(error) or subject}: {described(error)}") from None


def recipe_line(error: BaseException) -> str | None:
    """Return the innermost line of a recipe that an exception came from ("models/a/recipe.py, line 7")."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_shown(error.filename)}, line {error.lineno or 1}"
    lines = [
        f"{_shown(frame.f_code.co_filename)}, line {line}"
        for frame, line in traceback.walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__")).startswith(MODULE_PREFIX)
    ]
    return lines[-1] if lines else None


def described(error: BaseException) -> str:
    """Return the class of an exception and its message, cut to a few hundred characters."""
    try:
        message = str(error.msg if isinstance(error, SyntaxError) else error)
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001  # a recipe's own exception may fail even here
        message = ""
    return shorten(f"{type(error).__name__}: {message}".rstrip(": "), MOST_CHARACTERS, placeholder=" ...")


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with Python's own numbers and texts instead of NumPy's."""
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in row.items()}


def _shown(path: str) -> str:
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else relative


def _kind(value: object) -> str:
    if isinstance(value, ReadRows):
        return "a list"
    return "None" if value is None else f"a {type(value).__name__}"
