"""What is checked before a model is evaluated: its declaration, its data, and the export of a quick fit."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from sklearn.pipeline import Pipeline

from bundle.concepts import check_metrics
from bundle.declaration import Declaration, load_declaration
from bundle.encoding import Matrix
from bundle.features import CategoryFeature, NumberFeature
from bundle.metric_names import lacked_by_rules
from training import Say
from training.baseline import remarks
from training.data import TrainingData, load_training_data
from training.evaluation import FOLDS
from training.export import export_files
from training.fitting import fit, pickled, predict_classes
from training.metrics import Labels
from training.read_rows import ReadRows
from training.recipe import Recipe
from training.table import DataError

MOST_ROWS = 2000
"""Rows of the quick fit; besides them, some that hold a rare category or value."""


def check_declaration(folder: Path, say: Say) -> Declaration:
    """Return the declaration of a model, whose metrics the server knows."""
    declaration = load_declaration(folder)
    say(f"model.toml: {len(declaration.features)} features; classes {', '.join(declaration.labels)}")
    check_metrics(declaration)
    say(f"metrics: {len(declaration.metrics)} names, all of known concepts and dimensions")
    if lacked := lacked_by_rules(declaration.metrics):
        say(f"metrics: make rules would refuse them, as it needs {', '.join(lacked)}")
    return declaration


def check_data(
    folder: Path, declaration: Declaration, recipe: Recipe, data: Path | None, say: Say
) -> TrainingData:
    """Return the rows that a model is trained on, if they can be evaluated."""
    training = load_training_data(folder, declaration, recipe, data)
    check_classes(declaration, training.labels)
    check_columns(declaration, training)
    rows = class_rows(declaration, training.labels)
    say(f"data: {len(training.rows)} rows: {', '.join(f'{count} {label}' for label, count in rows.items())}")
    for remark in remarks(rows):
        say(f"data: {remark}")
    return training


def class_rows(declaration: Declaration, labels: Labels) -> dict[str, int]:
    """Return how many rows each class has, in declared order."""
    counts = np.bincount(labels, minlength=len(declaration.classes)).tolist()
    return dict(zip(declaration.labels, counts, strict=True))


def check_classes(declaration: Declaration, labels: Labels) -> None:
    """Reject data with so few rows of a class that some fold of the evaluation has none."""
    counts = class_rows(declaration, labels).values()
    for count, (target, label) in zip(counts, declaration.targets.items(), strict=True):
        if count < FOLDS:
            column = f" ({target} in the column '{declaration.target}')" if declaration.target else ""
            raise DataError(f"{count} rows are '{label}'{column}: training needs {FOLDS} of each class")


def check_columns(declaration: Declaration, data: TrainingData) -> None:
    """Reject a feature without a value in any row, or whose values become one in float32."""
    for feature, column in zip(declaration.features, data.matrix.T, strict=True):
        if np.isnan(column).all():
            raise DataError(
                f"the column '{feature.column}' has no value in any row: fill it in, or remove the feature "
                f"{feature.name} from model.toml"
            )
        if isinstance(feature, NumberFeature):
            _check_precision(feature, data.rows, column)


def _check_precision(feature: NumberFeature, rows: ReadRows, column: Matrix) -> None:
    if np.nanmin(column) != np.nanmax(column):
        return
    values = rows.values(feature.name) - {None, *feature.missing_codes}
    if len(values) > 1:
        raise DataError(
            f"the column '{feature.column}' has {len(values)} values that float32 cannot tell apart: "
            f"subtract a constant from each, or remove the feature {feature.name} from model.toml"
        )


def check_fit(
    version: str, declaration: Declaration, recipe: Recipe, data: TrainingData, say: Say
) -> tuple[Pipeline, dict[str, bytes]]:
    """Fit a version's pipeline, and return it with its exported files, proven equal to it."""
    estimator = declaration.versions[version].estimator
    pipeline = fit(recipe.build_pipeline(estimator, declaration), data.matrix, data.labels)
    predict_classes(pipeline, data.matrix, len(declaration.classes))
    pickled(pipeline)
    say(f"{version}: {estimator} is fitted to {len(data.rows)} rows")
    return pipeline, export_files(pipeline, declaration, data.matrix, lambda line: say(f"{version}: {line}"))


def few_rows(declaration: Declaration, data: TrainingData) -> TrainingData:
    """Return some rows, with each class in a few of them and each category and column in at least one."""
    if len(data.rows) <= MOST_ROWS:
        return data
    chosen = set(np.linspace(0, len(data.rows) - 1, MOST_ROWS).astype(np.int64).tolist())
    for index in range(len(declaration.classes)):
        chosen.update(np.flatnonzero(data.labels == index)[:FOLDS].tolist())
    for feature, column in zip(declaration.features, data.matrix.T, strict=True):
        chosen.add(int(np.flatnonzero(~np.isnan(column))[0]))
        if isinstance(feature, CategoryFeature):
            chosen.update(np.unique(column, return_index=True)[1].tolist())
    rows = sorted(chosen)
    return replace(
        data,
        rows=ReadRows(data.rows.chosen(rows)),
        matrix=data.matrix[rows],
        labels=data.labels[rows],
    )
