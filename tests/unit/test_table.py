"""A table is read as it is written, or refused in a sentence that names the place."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundle.declaration import Declaration, load_declaration
from tests.harness import HEART
from training.build import build, load_recipe, load_rows
from training.table import DataError, read_table

MODEL = """
name = "tumour"
title = "Tumour"
service = "tumour-api"
description = "Tells malignant tumours from benign ones."
intended_use = "A test."
limits = "Made up for a test."
elsewhere = "Nothing is known."
licence = "None is needed"
data_source = "generated"
default_version = "v1"
threshold = 0.5
target = "kind"
classes = [
    { label = "benign", prediction = 0, target = "B" },
    { label = "malignant", prediction = 1, target = "M" },
]
[versions.v1]
estimator = "none"
[example]
size = 5
grade = 1
[[features]]
name = "size"
column = "size"
description = "Size"
type = "number"
unit = "mm"
range = [-10, 2000]
nullable = true
[[features]]
name = "grade"
column = "grade"
description = "Grade"
type = "category"
codes = { low = 1, high = 2 }
[metrics.requests]
name = "requests_total"
"""
RECIPE = """
from training.table import read_table

def load_data(path, declaration):
    return {returned}
"""
HEADER = "size,grade,kind"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "tumour"
    folder.mkdir()
    (folder / "model.toml").write_text(MODEL, encoding="utf-8")
    return folder


@pytest.fixture
def tumour(folder: Path) -> Declaration:
    return load_declaration(folder)


@pytest.fixture
def table(tmp_path: Path) -> Callable[..., Path]:
    def write(*lines: str, encoding: str = "utf-8") -> Path:
        path = tmp_path / "rows.csv"
        path.write_text("".join(f"{line}\n" for line in lines), encoding=encoding)
        return path

    return write


def recipe(folder: Path, returned: str) -> Any:
    (folder / "recipe.py").write_text(RECIPE.format(returned=returned), encoding="utf-8")
    return load_recipe(folder)


def test_classes_have_the_order_of_the_declaration(
    folder: Path, tumour: Declaration, table: Callable[..., Path]
) -> None:
    path = table(HEADER, "1,low,M", "2,low,B", "3,low,M")
    _, labels, _ = load_rows(folder, tumour, recipe(folder, "read_table(path, declaration)"), path)
    assert labels.tolist() == [1, 0, 1]
    swapped = tumour.model_copy(update={"classes": tumour.classes[::-1]})
    _, labels, _ = load_rows(folder, swapped, recipe(folder, "read_table(path, declaration)"), path)
    assert labels.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    "said",
    [
        'target="kind", classes=["malignant", "benign"]',
        'target="kind"',
        'classes=["B", "M"]',
        "classes=[]",
    ],
)
def test_a_recipe_that_says_classes_again_is_refused(
    folder: Path, tumour: Declaration, table: Callable[..., Path], said: str
) -> None:
    its = recipe(folder, f"read_table(path, declaration, {said})")
    with pytest.raises(DataError, match=r"recipe\.py passes target or classes to read_table: .* model\.toml"):
        load_rows(folder, tumour, its, table(HEADER, "1,low,B"))


def test_a_table_is_not_read_without_a_target(tumour: Declaration, table: Callable[..., Path]) -> None:
    without = tumour.model_copy(update={"target": None})
    with pytest.raises(DataError, match=r"model\.toml does not say which column holds the class"):
        read_table(table(HEADER, "1,low,B"), without)


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        ([0, 1], "must return the class of each row by its label, one of benign, malignant"),
        ([0.0, 1.0], "by its label"),
        ([True, False], "by its label"),
        ([2, -1], "by its label"),
        (["benign", "M"], "by its label"),
        (["benign", "Malignant"], "by its label"),
        (["benign", None], "by its label"),
        (["benign", ["malignant"]], "by its label"),
        (["benign"], "returns 2 rows and 1 labels"),
        (["benign"] * 3, "returns 2 rows and 3 labels"),
        ([], "returns 2 rows and 0 labels"),
    ],
)
def test_what_a_recipe_returns_is_checked(
    folder: Path, tumour: Declaration, table: Callable[..., Path], labels: Sequence[object], sentence: str
) -> None:
    its = recipe(folder, f"([{{'size': 1, 'grade': 1}}] * 2, {labels!r})")
    with pytest.raises(DataError, match=sentence):
        load_rows(folder, tumour, its, table(HEADER))


def test_labels_may_be_an_array(folder: Path, tumour: Declaration, table: Callable[..., Path]) -> None:
    returned = "([{'size': 1, 'grade': 1}] * 2, __import__('numpy').array(['malignant', 'benign']))"
    _, labels, _ = load_rows(folder, tumour, recipe(folder, returned), table(HEADER))
    assert labels.tolist() == [1, 0]
    assert labels.dtype == np.int64


def test_rows_are_not_nothing(folder: Path, tumour: Declaration, table: Callable[..., Path]) -> None:
    with pytest.raises(DataError, match=r"recipe\.py returns no rows"):
        load_rows(folder, tumour, recipe(folder, "([], [])"), table(HEADER))


@pytest.mark.parametrize("malignant", [0, 1, 9])
def test_a_class_that_hardly_occurs_is_not_trained(
    folder: Path, table: Callable[..., Path], malignant: int
) -> None:
    recipe(folder, "read_table(path, declaration)")
    path = table(HEADER, *["1,low,B"] * 20, *["2,high,M"] * malignant)
    sentence = (
        rf"{malignant} rows are 'malignant' \(M in the column 'kind'\): training needs 10 of each class"
    )
    with pytest.raises(DataError, match=sentence):
        build(folder, None, path, lambda _: None)


def test_the_heart_data_mean_what_they_say(tmp_path: Path) -> None:
    """Sick stays sick where the classes change places in model.toml."""
    folder = Path(shutil.copytree(HEART, tmp_path / "heart-disease"))
    text = (folder / "model.toml").read_text(encoding="utf-8")
    first, second = (line for line in text.splitlines() if line.startswith("    { label ="))
    swapped = text.replace(f"{first}\n{second}", f"{second}\n{first}")
    truth = [line.rpartition(",")[2] for line in (HEART / "data.csv").read_text().splitlines()[1:]]
    for content in (text, swapped):
        (folder / "model.toml").write_text(content, encoding="utf-8")
        declaration = load_declaration(folder)
        _, labels, _ = load_rows(folder, declaration, load_recipe(folder), None)
        named = [declaration.labels[index] for index in labels]
        assert named == [{"0": "no_disease", "1": "disease"}[value] for value in truth]
