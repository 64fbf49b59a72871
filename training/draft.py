"""Writes the text of a new model's model.toml and recipe.py."""

import json
from collections.abc import Mapping, Sequence

from bundle.declaration import TableFormat
from training.classes import Class
from training.columns import Column

MODEL = """\
name = {name}
title = {title}
service = {service}
description = "Not stated yet: say in a sentence what the model predicts."
intended_use = "Not stated yet: say who may use its predictions, and for what."
limits = "Not stated yet: say on what rows it was trained, and for which it does not hold."
elsewhere = "Not stated yet: say how it does on rows from another place or time, or that nobody has tried."
licence = "Not stated yet: say under which licence the data are, and what it allows"
{data_file}data_source = "Not stated yet: say where the data are from, and when they were collected"
default_version = "v1"
{threshold}
# The column of the data that holds the class, and below the value of each class there.
target = {target}

# The order is the order of the probabilities{positive}.
classes = [
{classes}
]
{table}
[versions.v1]
estimator = {estimator}

# Medians, and the most frequent categories.
[example]
{example}

# ---- features, in the order of the matrix. Add `unit`, and as `range` what is possible at all. ----
{features}"""

RECIPE = '''\
"""How the {name} model is made from its data."""

from pathlib import Path

from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from bundle.declaration import Declaration
from bundle.features import NumberFeature
from training.table import Rows, read_table


def load_data(path: Path, declaration: Declaration) -> tuple[Rows, list[str]]:
    """Return the rows as clients send them, and the label of each."""
    return read_table(path, declaration)


def build_pipeline(estimator: str, declaration: Declaration) -> Pipeline:
    """Return the unfitted pipeline, from the encoder's matrix to probabilities."""
    estimators = {{"logistic_regression": LogisticRegression(max_iter=1000)}}
    numbers = [i for i, feature in enumerate(declaration.features) if isinstance(feature, NumberFeature)]
    categories = [i for i in range(len(declaration.features)) if i not in numbers]
    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
            (
                "categories",
                make_pipeline(
                    SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")
                ),
                categories,
            ),
        ]
    )
    return Pipeline([("columns", columns), ("estimator", estimators[estimator])])
'''


def draft_model(
    name: str,
    target: str,
    classes: Sequence[Class],
    features: Sequence[Column],
    table: TableFormat,
    *,
    estimator: str = "logistic_regression",
    data_file: str | None = "data.csv",
) -> str:
    """Return the text of model.toml."""
    binary = len(classes) == 2  # noqa: PLR2004
    return MODEL.format(
        name=_toml(name),
        title=_toml(name.replace("-", " ").capitalize()),
        service=_toml(f"{name}-api"),
        data_file=f"data_file = {_toml(data_file)}\n" if data_file else "",
        estimator=_toml(estimator),
        threshold="threshold = 0.5\n" if binary else "",
        target=_toml(target),
        positive="; the second class is the positive one" if binary else "",
        classes="\n".join(f"    {_inline(_class(declared))}," for declared in classes),
        table=_table(table),
        example="\n".join(f"{feature.feature} = {_toml(feature.example)}" for feature in features),
        features="\n".join(_feature(feature) for feature in features) + "\n",
    )


def draft_recipe(name: str) -> str:
    """Return the text of recipe.py."""
    return RECIPE.format(name=name)


def _toml(value: object) -> str:
    """Return a string or number of TOML, whose strings are JSON's, but for one character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _inline(members: Mapping[str, object]) -> str:
    return "{ " + ", ".join(f"{key} = {_toml(value)}" for key, value in members.items()) + " }"


def _class(declared: Class) -> dict[str, object]:
    members: dict[str, object] = {"label": declared.label, "prediction": declared.prediction}
    return members if declared.target == declared.label else members | {"target": declared.target}


def _table(table: TableFormat) -> str:
    found = table.model_dump(exclude_defaults=True)
    if not found:
        return ""
    lines = "\n".join(f"{key} = {_toml(value)}" for key, value in found.items())
    return f"\n# How the data file is written.\n[table]\n{lines}\n"


def _feature(column: Column) -> str:
    members: dict[str, object] = {
        "name": column.feature,
        "column": column.name,
        "description": column.name,
        "type": column.kind,
    }
    if column.missing:
        members["nullable"] = True
    lines = [f"{key} = {_toml(value)}" for key, value in members.items()]
    if column.codes:
        codes = {_toml(category): code for category, code in column.codes.items()}
        lines.append("codes = { " + ", ".join(f"{key} = {code}" for key, code in codes.items()) + " }")
    if column.other:
        lines.append("other = true")
    return "\n".join(["\n[[features]]", *lines])
