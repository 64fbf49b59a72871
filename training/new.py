"""Command line: `python -m training.new --model credit --data credit.csv --target default`.

Drafts `models/credit/` from a table, and prints what it guessed and what to review: names, types, counts
and categories, and never a row.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import replace
from pathlib import Path

from bundle.declaration import TableFormat, load_declaration, model_folder
from bundle.errors import BundleError
from training import Say, interruptible
from training.classes import guess_classes
from training.cli import exit_code, rows_file
from training.columns import Column, as_boolean, guess_columns
from training.content import is_parquet, read_content
from training.doubts import doubts
from training.draft import draft_model, draft_recipe
from training.replacing import check_absent, new_folder
from training.review import Draft, review
from training.sniff import (
    MARKERS,
    foreign_words,
    guess_format,
    guess_notation,
    table_format,
)
from training.table import DataError, column_index, read_table, records

MOST_COLUMNS = 1000
MOST_REASONS = 5


def new(models: Path, name: str, path: Path, target: str, *, say: Say) -> None:
    """Write model.toml, recipe.py and data.csv into the folder of a model that does not exist yet."""
    folder = model_folder(models, name)
    check_absent(folder)
    content = read_content(path)
    draft = guess(path, content, target)
    draft = replace(draft, columns=list(map(as_boolean, draft.columns)), converted=is_parquet(path))
    model = draft_model(name, target, draft.classes, draft.features, draft.table)
    with new_folder(folder) as drafted:
        (drafted / "data.csv").write_bytes(content)
        (drafted / "model.toml").write_text(model, encoding="utf-8")
        (drafted / "recipe.py").write_text(draft_recipe(name), encoding="utf-8")
        check(path, drafted)
    for line in review(folder, draft):
        say(line)


def check(path: Path, drafted: Path) -> None:
    """Read the draft and its data as training does."""
    try:
        read_table(drafted / "data.csv", load_declaration(drafted))
    except (BundleError, DataError) as error:
        reason = str(error).replace(str(drafted / "data.csv"), str(path)).replace(str(drafted), "the draft")
        raise DataError(f"{path} cannot be drafted as it is: {reason}") from None


def guess(path: Path, content: bytes, target: str) -> Draft:
    """Return what a table is; DataError says why nothing can be trained on it."""
    table = guess_format(path, content, target)
    header, columns, places = read_columns(path, content, table, target)
    cells = columns.pop(header.index(target))
    header.remove(target)
    check_target(target, cells, places)
    decimal, missing = guess_notation(map(Counter, columns), table.separator)
    classes, positive = guess_classes(target, cells)
    guessed = doubted_columns(header, columns, cells, decimal, set(missing))
    if all(column.left_out for column in guessed):
        reasons = "; ".join(f"'{column.name}': {column.left_out}" for column in guessed[:MOST_REASONS])
        raise DataError(f"{path} has no column that can be a feature: {reasons}")
    found = table_format(table.separator, table.encoding, decimal, missing)
    return Draft(len(cells), found, target, classes, positive, guessed, foreign_words(path, content, table))


def doubted_columns(
    header: Sequence[str],
    columns: Sequence[list[str]],
    labels: Sequence[str],
    decimal: str,
    missing: Container[str],
) -> list[Column]:
    """Return what each column is, with all that is doubtful in it."""
    guessed = guess_columns(header, columns, decimal, missing)
    return [
        replace(column, doubt=doubts(column, cells, labels, decimal, missing))
        for column, cells in zip(guessed, columns, strict=True)
    ]


def read_columns(
    path: Path, content: bytes, table: TableFormat, target: str
) -> tuple[list[str], list[list[str]], list[str]]:
    """Return the header, the cells of each column, and the place of each row."""
    lines = records(path, content, table)
    _, header = next(lines, ("", []))
    if not header:
        raise DataError(f"{path} is empty")
    column_index(path, header, target)
    if len(header) > MOST_COLUMNS:
        raise DataError(
            f"{path} has {len(header)} columns: keep those that a model needs, {MOST_COLUMNS} at most"
        )
    rows = list(lines)
    if not rows:
        raise DataError(f"{path} has a header and no rows")
    columns = [list(column) for column in zip(*(cells for _, cells in rows), strict=True)]
    return header, columns, [place for place, _ in rows]


def check_target(target: str, cells: Sequence[str], places: Sequence[str]) -> None:
    """Reject rows without a class, by the place of the first."""
    marked = {cell for cell in cells if not cell or cell.lower() in MARKERS}
    if len(set(cells) - marked) < 2:  # noqa: PLR2004 - then - or ? may be a class
        marked = {""}
    absent = [place for place, cell in zip(places, cells, strict=True) if cell in marked]
    if absent:
        raise DataError(
            f"{absent[0]}: the column '{target}' has no value, as in {len(absent)} of {len(cells)} rows: "
            "remove rows without a class"
        )


def parser() -> argparse.ArgumentParser:
    interruptible()
    command = argparse.ArgumentParser(
        prog="python -m training.new",
        description="Draft a model's folder from a table: CSV, however it is written, or Parquet.",
    )
    command.add_argument("--model", required=True, help="name of the model, and of its folder")
    command.add_argument("--data", required=True, type=rows_file, help="the table, or runs:/RUN/PATH")
    command.add_argument("--target", required=True, help="column that holds the class")
    command.add_argument("--models-dir", type=Path, default=Path("models"), help="where models live (models)")
    return command


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    model = (options.models_dir, options.model)
    return exit_code(lambda: new(*model, options.data, options.target, say=print))


if __name__ == "__main__":
    sys.exit(main())
