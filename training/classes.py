"""Guesses the classes of a table: their labels, their order, and which is the positive one."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bundle.spelling import meaning, shown_apart
from bundle.yes_no import no_and_yes
from training.columns import MOST_LISTED, distinct, identifier
from training.evaluation import FOLDS
from training.sniff import are_numbers
from training.table import DataError, read_number

MOST_CLASSES = 50
MOST_NUMERIC_CLASSES = 20
NEGATIVE = {"0", "0.0", "-1", "no", "n", "false", "f", "negative", "neg", "-"}
POSITIVE = {"yes", "y", "true", "t", "positive", "pos", "+"}


@dataclass(frozen=True)
class Class:
    """A class: its label, its value in the target column, and its rows."""

    label: str
    target: str
    prediction: int | str
    rows: int


def guess_classes(column: str, cells: Sequence[str]) -> tuple[list[Class], str]:
    """Return the classes, of two the positive last, and why it is that one; DataError if there are none."""
    counts = Counter(cells)
    _check_classes(column, counts)
    numeric = are_numbers(counts, ".")
    ordered = sorted(counts, key=lambda cell: (read_number(cell, ".") if numeric else 0, cell))
    reason = ""
    if len(counts) == 2:  # noqa: PLR2004
        ordered, reason = _positive_last(ordered, counts)
    labels = _labels(column, ordered, numeric=numeric)
    classes = [
        Class(label, cell, _prediction(cell), counts[cell])
        for label, cell in zip(labels, ordered, strict=True)
    ]
    return classes, reason


def _check_classes(column: str, counts: Counter[str]) -> None:
    if len(counts) == 1:
        raise DataError(f"all rows have the same value in the column '{column}': training needs two classes")
    spellings: dict[str | float, str] = {}
    for cell in sorted(counts):
        if (other := spellings.setdefault(meaning(cell), cell)) != cell:
            raise DataError(
                f"the column '{column}' has one class in two spellings, {shown_apart(other, cell)}: keep one"
            )
    _check_regression(column, counts)
    if len(counts) > MOST_CLASSES:
        raise DataError(
            f"the column '{column}' holds {len(counts)} different texts in {counts.total()} rows: name a "
            f"column with at most {MOST_CLASSES} classes"
        )
    rare = [f"'{cell}': {count}" for cell, count in counts.most_common()[::-1] if count < FOLDS]
    if rare:
        listed = ", ".join(rare[:MOST_LISTED]) + (", ..." if len(rare) > MOST_LISTED else "")
        raise DataError(
            f"{len(rare)} of the {len(counts)} classes in the column '{column}' have fewer than {FOLDS} rows "
            f"({listed}): training needs {FOLDS} of each. Add rows, merge classes, or remove their rows"
        )


def _check_regression(column: str, counts: Counter[str]) -> None:
    for decimal in (".", ","):
        if not are_numbers(counts, decimal):
            continue
        fractions = any(not float(read_number(cell, decimal)).is_integer() for cell in counts)
        if len(counts) > MOST_NUMERIC_CLASSES or (fractions and len(counts) > 2):  # noqa: PLR2004
            name = identifier(column, "target")
            raise DataError(
                f"the column '{column}' holds {len(counts)} different numbers: models here predict a class, "
                "and regression is not supported yet. Make classes by thresholds: add a column such as "
                f"{name}_is_high, with yes and no, and name it as TARGET"
            )


def _positive_last(pair: list[str], counts: Counter[str]) -> tuple[list[str], str]:
    if known := no_and_yes(pair):
        return list(known), "by its value"
    negative = [cell for cell in pair if cell.lower() in NEGATIVE]
    positive = [cell for cell in pair if cell.lower() in POSITIVE]
    if len(negative) == 1 or len(positive) == 1:
        last = next(cell for cell in pair if cell not in negative) if len(negative) == 1 else positive[0]
        reason = "by its value"
    else:
        last = min(reversed(pair), key=lambda cell: counts[cell])
        reason = "as it is rarer" if len(set(counts.values())) > 1 else "as it comes last"
    return sorted(pair, key=lambda cell: cell == last), reason


def _labels(column: str, ordered: list[str], *, numeric: bool) -> list[str]:
    """Return distinct labels: words where the values are 0 and 1 or yes and no."""
    name = identifier(column, "target")
    yes_or_no = len(ordered) == 2 and ordered[0].lower() in NEGATIVE  # noqa: PLR2004
    if no_and_yes(ordered) or (yes_or_no and (numeric or ordered[1].lower() in POSITIVE | {"1"})):
        return [f"no_{name}", name]
    labels: list[str] = []
    for place, cell in enumerate(ordered):
        label = f"{name}_{identifier(cell, str(place))}" if numeric else identifier(cell, f"class_{place}")
        others = {*labels, *ordered[:place], *ordered[place + 1 :]}
        labels.append(distinct(label.replace(f"{name}_x", f"{name}_") if numeric else label, others))
    return labels


def _prediction(cell: str) -> int | str:
    value = meaning(cell)
    return int(value) if isinstance(value, float) and value.is_integer() else cell
