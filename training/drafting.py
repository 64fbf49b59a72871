"""Drafts the model.toml of an imported model from its labelled rows and from what the model reads."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import Any

from bundle.declaration import load_declaration, model_folder
from bundle.spelling import BLANKS, meaning
from training import Say
from training.columns import MOST_LISTED, OTHERS, Column
from training.draft import draft_model
from training.encoders import PANDAS_MISSING, fitted_steps, known_texts, takes_unknown, unread_names
from training.frames import declared_threshold
from training.new import doubted_columns, guess
from training.new import read_columns as read_columns_of
from training.onnx_file import compared_texts, input_names, letters, numeric_inputs
from training.replacing import new_folder
from training.review import Draft, review
from training.sniff import table_format
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
        declared = load_declaration(folder).target
        if None not in (table.target, declared) and table.target != declared:
            raise DataError(
                f"the class is in the column '{declared}' by {folder / 'model.toml'}, and TARGET is "
                f"'{table.target}': leave it out, or correct target and the classes there"
            )
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
    if not isinstance(source.model, bytes):
        draft = with_known_missing(draft, table, source)
    draft = replace(draft, columns=read_columns(source.model, draft.columns))
    check_codes_known(source.model, draft.columns)
    if unread := [] if isinstance(source.model, bytes) else sorted(unread_names(source.model)):
        say(f"The pipeline drops {', '.join(unread)}: no features of what is served")
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
        path = drafted / "model.toml"
        path.write_text(text, encoding="utf-8")
        if not isinstance(source.model, bytes):
            threshold = declared_threshold(load_declaration(drafted), source.model)
            if threshold is not None:
                path.write_text(
                    text.replace("\nthreshold = 0.5\n", f"\nthreshold = {threshold!r}\n", 1), encoding="utf-8"
                )
        yield drafted, lambda line: say(line.replace(str(drafted), str(folder)))
    for line in takewhile(lambda line: not line.startswith("Next, "), review(folder, draft)):
        say(line)
    again = "import" if source.content else "call export()"
    say(f"Next, in {folder / 'model.toml'}: write what is 'Not stated yet', and {again} again for its card.")


def read_columns(model: Any, columns: Sequence[Column]) -> list[Column]:
    """Return the columns that a model reads, with every category that its encoders know."""
    names = _inputs(model)
    width = getattr(model, "n_features_in_", len(columns))
    if names is None and width != len(columns):
        raise DataError(
            f"the pipeline was fitted on {width} columns without names, and the table has {len(columns)} "
            "beside the class: give a table with those alone, in their order, or fit it on a DataFrame"
        )
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
    return [_as_known(column, model) for column in read]


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
    """Return the columns that a model reads, by their letters; None if it reads them as an array."""
    if isinstance(model, bytes):
        inputs = input_names(model)
        return None if len(inputs) == 1 else {letters(name): name for name in inputs}
    names = getattr(model, "feature_names_in_", None)
    if names is None:
        return None
    unread = unread_names(model)
    return {letters(str(name).strip()): str(name) for name in names if str(name) not in unread}


def with_known_missing(draft: Draft, table: Table, source: Source) -> Draft:
    """Return a draft in which a cell is a category if the column's encoder knows it, and else may be missing.

    pandas.read_csv reads None and the like as missing, and the maker of a file most likely used it.
    """
    known = {
        column.name: {text.strip(BLANKS) for text in texts}
        for column in draft.columns
        if (texts := known_texts(source.model, column.name))
    }
    everywhere = set().union(*known.values())
    absent = {
        category: column.name
        for column in draft.columns
        for category in column.codes
        if source.content and category in PANDAS_MISSING - known.get(column.name, PANDAS_MISSING)
    }
    missing = sorted({*draft.table.missing, *absent} - everywhere)
    again = _guessed_again(draft, table, missing)
    kinds = {column.name: column.kind for column in again.features}
    changed = [column.name for column in draft.features if kinds.get(column.name) != column.kind]
    if changed := changed + [absent[category] for category in everywhere & absent.keys()]:
        raise DataError(
            f"a cell means a missing value in '{changed[0]}', and is a category that the pipeline knows in "
            "another column: write it differently there"
        )
    return again


def _guessed_again(draft: Draft, table: Table, missing: Sequence[str]) -> Draft:
    """Return the draft with other cells as missing values."""
    if missing == list(draft.table.missing):
        return draft
    path, content, written = table.path, table.content, draft.table
    header, columns, _ = read_columns_of(path, content, written, draft.target)
    labels = columns.pop(header.index(draft.target))
    header.remove(draft.target)
    doubtful = doubted_columns(header, columns, labels, written.decimal, set(missing))
    found = table_format(written.separator, written.encoding, written.decimal, missing)
    return replace(draft, table=found, columns=doubtful)


def _as_known(column: Column, model: Any) -> Column:
    """Return a column with the values that the model knows, and others only where it takes them."""
    codes = _with_known(column, model)
    other = column.other and (isinstance(model, bytes) or takes_unknown(model, column.name))
    if (codes, other) == (column.codes, column.other) or not column.other:
        return replace(column, codes=codes)
    shown = f"{len(codes)}{' and others' if other else ''}, which the model knows"
    return replace(column, codes=codes, other=other, shown=shown, doubt=OTHERS if other else "")


def _with_known(column: Column, model: Any) -> dict[str, int]:
    """Return the codes of a category, with those that the model knows beyond the rows.

    An ONNX file compares its texts with more than categories: they are read only where the draft lists some
    of many values.
    """
    codes = dict(column.codes)
    if isinstance(model, bytes):
        known = compared_texts(model, column.name) if column.other else []
    else:
        known = known_texts(model, column.name) or []
    for text in known if codes else []:
        if (category := text.strip()) and category not in codes:
            codes[category] = max(codes.values()) + 1
    return codes


def _name(model: Any) -> str:
    return "onnx" if isinstance(model, bytes) else snake_case(type(fitted_steps(model)[-1]).__name__)
