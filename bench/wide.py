"""A model of as many features as asked for: half numbers, half categories, trained like any other."""

from pathlib import Path
from typing import Any

from bench.load import PROJECT
from training.build import build

RECIPE = """
import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler


def generate_data(declaration):
    random = np.random.default_rng(0)
    names = declaration.feature_names
    values = random.integers(0, 3, (120, len(names)))
    rows = [dict(zip(names, row, strict=True)) for row in values.tolist()]
    return rows, np.where(values[:, 0] + random.integers(0, 2, 120) > 1, "yes", "no").tolist()


def build_pipeline(estimator, declaration):
    odd = list(range(1, len(declaration.features), 2))
    even = list(range(0, len(declaration.features), 2))
    codes = OneHotEncoder(handle_unknown="ignore")
    columns = ColumnTransformer([("numbers", StandardScaler(), even), ("codes", codes, odd)])
    return Pipeline([("columns", columns), ("estimator", LogisticRegression(C=0.1))])
"""

HEAD = """
name = "wide"
title = "Wide"
service = "wide-api"
description = "Many features."
intended_use = "A measurement."
limits = "Means nothing."
elsewhere = "Nothing is known."
licence = "None is needed"
data_source = "generated"
default_version = "v1"
threshold = 0.5
classes = [{ label = "no", prediction = 0 }, { label = "yes", prediction = 1 }]

[versions.v1]
estimator = "logistic_regression"
"""

NUMBER = 'type = "number"\nunit = "1"\nrange = [0, 10]'
CATEGORY = 'type = "category"\ncodes = { none = 0, some = 1, all = 2 }'


def train_wide(models: Path, features: int) -> dict[str, Any]:
    """Write `models/wide/`, and return a row that it accepts."""
    folder = models / "wide"
    folder.mkdir()
    row = {f"f{number}": 1 for number in range(features)}
    example = "".join(f"{name} = {value}\n" for name, value in row.items())
    declared = "".join(
        f'\n[[features]]\nname = "{name}"\ncolumn = "{name}"\ndescription = "A value"\n'
        f"{CATEGORY if number % 2 else NUMBER}\n"
        for number, name in enumerate(row)
    )
    metrics = (PROJECT / "models/heart-disease/model.toml").read_text(encoding="utf-8")
    vocabulary = metrics[metrics.index("[metrics.") :]
    content = f"{HEAD}\n[example]\n{example}{declared}\n{vocabulary}"
    (folder / "model.toml").write_text(content, encoding="utf-8")
    (folder / "recipe.py").write_text(RECIPE, encoding="utf-8")
    build(folder, None, None, lambda _line: None)
    return row
