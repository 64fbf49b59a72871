"""Drafts the model.toml of an imported model from its labelled rows and from what the model reads."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import Any

from bundle.declaration import model_folder
from training import Say
from training.columns import Column
from training.draft import draft_model
from training.new import guess
from training.onnx_file import letters, loaded
from training.replacing import new_folder
from training.review import review
from training.sources import Source
from training.table import DataError


def snake_case(name: str) -> str:
    """Return the name of a class as metrics have it: random_forest_classifier."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


@dataclass(frozen=True)
class Table:
    """Labelled rows as CSV: what to call them, their content, and the column with the class."""

    path: Path
    content: bytes
    target: str | None


@contextmanager
def declared_folder(folder: Path, table: Table, source: Source, say: Say) -> Iterator[tuple[Path, Say]]:
    """Give the model's folder, and what prints.

    Without a model.toml it is a draft elsewhere, which becomes the folder when the context ends well.
    """
    if (folder / "model.toml").exists():
        yield folder, say
        return
    if folder.exists():
        raise DataError(f"{folder} has no model.toml: write it, or remove the folder to have it drafted")
    if table.target is None:
        raise DataError(
            f"{folder / 'model.toml'} is missing: to have it drafted, name the column with the class (TARGET)"
        )
    model_folder(folder.parent, folder.name)
    draft = guess(table.path, table.content, table.target)
    draft = replace(draft, columns=read_columns(source.model, draft.columns))
    text = draft_model(
        folder.name,
        table.target,
        draft.classes,
        draft.features,
        draft.table,
        estimator=_name(source.model),
        data_file=None,
    )
    with new_folder(folder) as drafted:
        (drafted / "model.toml").write_text(text, encoding="utf-8")
        yield drafted, lambda line: say(line.replace(str(drafted), str(folder)))
    for line in takewhile(lambda line: not line.startswith("Next, "), review(folder, draft)):
        say(line)
    say(f"Next, in {folder / 'model.toml'}: write what is 'Not stated yet', and import again for its card.")


def read_columns(model: Any, columns: Sequence[Column]) -> list[Column]:
    """Return the columns that a model reads, with every category that its encoders know."""
    names = _inputs(model)
    read = [column for column in columns if names is None or letters(column.name) in names]
    for column in read:
        if column.left_out:
            raise DataError(
                f"the model reads '{column.name}', which cannot be drafted as a feature: {column.left_out}; "
                "write model.toml by hand"
            )
    return [replace(column, codes=_with_known(column, model)) for column in read]


def _inputs(model: Any) -> set[str] | None:
    """Return the names of the columns that a model reads, as letters; None if it reads all as an array."""
    if not isinstance(model, bytes):
        names = getattr(model, "feature_names_in_", None)
        return None if names is None else {letters(str(name)) for name in names}
    inputs = [value.name for value in loaded(model).graph.input]
    return None if len(inputs) == 1 else {letters(name) for name in inputs}


def _with_known(column: Column, model: Any) -> dict[str, int]:
    """Return the codes of a category, with those that an encoder of the pipeline knows beyond the rows."""
    codes = dict(column.codes)
    for category in _encoded(model, column.name) if codes else ():
        if isinstance(category, str) and category.strip() and category.strip() not in codes:
            codes[category.strip()] = max(codes.values()) + 1
    return codes


def _encoded(model: Any, name: str) -> Iterator[object]:
    """Yield the categories that the encoders of a pipeline know of a column."""
    for _, transformer, columns in getattr(_first(model), "transformers_", ()):
        steps = [step for _, step in getattr(transformer, "steps", [("", transformer)])]
        names = [columns] if isinstance(columns, str) else list(columns)
        for step in steps:
            known = getattr(step, "categories_", ())
            if name in names and len(known) == len(names):
                yield from known[names.index(name)]


def _first(model: Any) -> Any:
    steps = getattr(model, "steps", None)
    return steps[0][1] if steps else model


def _name(model: Any) -> str:
    if isinstance(model, bytes):
        return "onnx"
    steps = getattr(model, "steps", None)
    return snake_case(type(steps[-1][1] if steps else model).__name__)
