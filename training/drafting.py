"""Drafts the model.toml of an imported model from its labelled rows and from what the model reads."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import Any

from bundle.spelling import meaning
from training import Say
from training.columns import MOST_LISTED, Column
from training.draft import draft_model, drafted_folder
from training.new import check_name, guess
from training.onnx_file import input_names, letters, numeric_inputs
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
    check_name(folder.name)
    draft = guess(table.path, table.content, table.target)
    draft = replace(draft, columns=read_columns(source.model, draft.columns))
    check_codes_known(source.model, draft.columns)
    text = draft_model(
        folder.name,
        table.target,
        draft.classes,
        draft.features,
        draft.table,
        estimator=_name(source.model),
        data_file=None,
    )
    with drafted_folder(folder) as drafted:
        (drafted / "model.toml").write_text(text, encoding="utf-8")
        yield drafted, lambda line: say(line.replace(str(drafted), str(folder)))
    for line in takewhile(lambda line: not line.startswith("Next, "), review(folder, draft)):
        say(line)
    say(f"Next, in {folder / 'model.toml'}: write what is 'Not stated yet', and import again for its card.")


def read_columns(model: Any, columns: Sequence[Column]) -> list[Column]:
    """Return the columns that a model reads, with every category that its encoders know."""
    names = _inputs(model)
    spelled = {letters(column.name) for column in columns}
    if names is not None and (absent := [name for key, name in names.items() if key not in spelled]):
        raise DataError(
            f"the model reads {', '.join(absent)}, which the table lacks: it has "
            f"{', '.join(column.name for column in columns)}"
        )
    read = [column for column in columns if names is None or letters(column.name) in names]
    for column in read:
        if column.left_out:
            raise DataError(
                f"the model reads '{column.name}', which cannot be drafted as a feature: {column.left_out}; "
                "write model.toml by hand"
            )
    return [replace(column, codes=_with_known(column, model)) for column in read]


def check_codes_known(model: Any, columns: Sequence[Column]) -> None:
    """Reject a category in words that an ONNX model reads as a number: the draft's codes are its own."""
    if not isinstance(model, bytes):
        return
    numeric = numeric_inputs(model)
    for column in columns:
        words = [category for category, code in column.codes.items() if meaning(category) != code]
        if words and (numeric is None or letters(column.name) in numeric):
            raise DataError(
                f"the ONNX model reads '{column.name}' as a number, and the table has words "
                f"({', '.join(words[:MOST_LISTED])}), whose codes only its maker knows: declare them in "
                "codes of model.toml (make new drafts it), or give a table with the numbers"
            )


def _inputs(model: Any) -> dict[str, str] | None:
    """Return the columns that a model reads, by their letters; None if it reads all as an array."""
    if isinstance(model, bytes):
        inputs = input_names(model)
        return None if len(inputs) == 1 else {letters(name): name for name in inputs}
    names = getattr(model, "feature_names_in_", None)
    return None if names is None else {letters(str(name).strip()): str(name) for name in names}


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
