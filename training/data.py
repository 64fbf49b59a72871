"""Loads a model's recipe and the labelled rows that it is trained or compared on."""

import hashlib
import importlib.util
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cloudpickle
import numpy as np

from bundle.declaration import Declaration
from bundle.encoding import Matrix
from bundle.manifest import FewRows, sha256
from training.metrics import Labels
from training.read_rows import ReadRows
from training.recipe import MODULE_PREFIX, Recipe, reported
from training.table import DataError


@dataclass(frozen=True)
class TrainingData:
    """Rows as clients send them, matrix [rows, features], class indexes [rows], and sha256 of the source.

    `few` is what was allowed, if the rows are too few for the gate of retraining.
    """

    rows: ReadRows
    matrix: Matrix
    labels: Labels
    sha256: str
    few: FewRows | None = None


def load_recipe(folder: Path) -> Recipe:
    """Import `folder/recipe.py` as the module `recipe_<model>`, whose classes can be pickled."""
    path = folder / "recipe.py"
    name = MODULE_PREFIX + folder.name
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise DataError(f"{path} is missing")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    cloudpickle.register_pickle_by_value(module)  # joblib's processes cannot import it
    with reported(path):
        spec.loader.exec_module(module)
    return Recipe(path, module)


def load_training_data(
    folder: Path, declaration: Declaration, recipe: Recipe, data: Path | None
) -> TrainingData:
    """Return the rows of a file, or the model's own data."""
    rows, labels, digest = load_rows(folder, declaration, recipe, data)
    return TrainingData(rows, rows.matrix(declaration), labels, digest)


def load_rows(
    folder: Path, declaration: Declaration, recipe: Recipe, data: Path | None
) -> tuple[ReadRows, Labels, str]:
    """Return rows, the class index of each, and the sha256 of their file, or of generated rows as JSON."""
    if data is None and declaration.data_file is not None:
        data = folder / declaration.data_file
    if data is not None:
        if data.exists() and not data.is_file():  # a pipe or a device may never end
            raise DataError(f"{data} is not a regular file: give a CSV file")
        rows, named = recipe.load_data(data, declaration)
        return rows, class_indexes(declaration, rows, named), _digest(data)
    if not recipe.generates:
        raise DataError(
            f"'{declaration.name}' comes without its data: give it with DATA=FILE. {declaration.data_source}"
        )
    rows, named = recipe.generate_data(declaration)
    labels = class_indexes(declaration, rows, named)
    with reported("the rows of recipe.py cannot be written as JSON"):
        return rows, labels, sha256(json.dumps([rows.data, labels.tolist()]).encode())


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def class_indexes(declaration: Declaration, rows: Sequence[object], named: Sequence[str]) -> Labels:
    """Return the class index of each label that a recipe returned; DataError for an unknown label."""
    if len(rows) == 0:
        raise DataError("recipe.py returns no rows")
    if len(named) != len(rows):
        raise DataError(f"recipe.py returns {len(rows)} rows and {len(named)} labels: one for each is needed")
    indexes = {label: index for index, label in enumerate(declaration.labels)}
    try:
        return np.array([indexes[label] for label in named], dtype=np.int64)
    except (KeyError, TypeError):  # a list, say, cannot be looked up
        raise DataError(
            "recipe.py must return the class of each row by its label, one of "
            f"{', '.join(indexes)}: only model.toml defines their order"
        ) from None
