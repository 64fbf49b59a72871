"""Guesses what the columns of a table are: a number, a category, or nothing that a model can use."""

import re
from collections import Counter
from collections.abc import Collection, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median, median_low
from typing import Literal
from unicodedata import normalize

import numpy as np

from bundle.precision import EXACT, check_range, limit
from bundle.spelling import check_codes, meaning
from bundle.yes_no import BOOLEANS, no_and_yes
from training.evaluation import FOLDS
from training.sniff import are_numbers
from training.table import MOST_OF_A_CELL, read_number

MOST_CATEGORIES = 30
MOST_LISTED_CATEGORIES = 200
LEAST_ROWS = 20
"""Of more values than MOST_CATEGORIES, those with so many rows are listed, if that leaves few rows."""

FEW_VALUES = 10
MOST_LISTED = 6
MOST_WORDS = 3

DATE = re.compile(r"\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([T ].*)?", re.ASCII)
DIGITS_BY_THREES = re.compile(r"[+-]?\d{1,3}([., ']\d{3})+([.,]\d+)?", re.ASCII)
LEADING_ZERO = re.compile(r"[+-]?0\d+", re.ASCII)
ID = {"id", "index", "key", "no", "nr", "number", "row", "uuid", "guid"}
"""Last words of the names of columns that number the rows."""

TAKEN = {"score"}
OTHERS = "values that are not listed are taken as others: take other out, and they are rejected"


@dataclass(frozen=True)
class Column:
    """A column, and the feature that it becomes; `left_out` says why it becomes none.

    `shown` describes its values, none of them that of a row; `doubt` is what to look at.
    """

    name: str
    feature: str = ""
    kind: Literal["number", "integer", "category", "boolean"] = "number"
    missing: int = 0
    shown: str = ""
    codes: Mapping[str, int] = field(default_factory=dict)
    other: bool = False
    """Whether values that are not among the codes are accepted."""

    example: bool | int | float | str = 0
    doubt: str = ""
    left_out: str = ""

    @property
    def coded_by_alphabet(self) -> bool:
        """Whether codes have no other reason than the order of the names."""
        words = {category for category, code in self.codes.items() if meaning(category) != code}
        return bool(words - set(no_and_yes(words) or ()))


def guess_columns(
    header: Sequence[str], columns: Sequence[list[str]], decimal: str, missing: Container[str]
) -> list[Column]:
    """Return what each column is; the features get distinct names."""
    guessed: list[Column] = []
    taken = set(TAKEN)
    for name, cells in zip(header, columns, strict=True):
        if reason := _unusable_name(name, header):
            guessed.append(Column(name, left_out=reason))
            continue
        feature = distinct(identifier(name, f"column_{len(guessed) + 1}"), taken)
        column = _guess_column(name, feature, cells, decimal, missing)
        if not column.left_out:
            taken.add(feature)
        guessed.append(column)
    return guessed


def identifier(text: str, otherwise: str) -> str:
    """Return a name of ASCII letters, digits and underscores that is close to the text."""
    ascii_text = normalize("NFKD", text.replace("ß", "ss")).encode("ascii", "ignore").decode()
    name = re.sub(r"[^A-Za-z0-9]+", "_", ascii_text).strip("_")
    if not name:
        return otherwise
    return name if name[0].isalpha() else f"x{name}"


def distinct(name: str, taken: Container[str]) -> str:
    """Return the name, numbered if it is taken."""
    found, number = name, 2
    while found in taken:
        found, number = f"{name}_{number}", number + 1
    return found


def _unusable_name(name: str, header: Sequence[str]) -> str:
    if not name:
        return "it has no name"
    if name != name.strip() or not name.isprintable():
        return "its name holds a special blank or a control character"
    return "its name is in the header twice" if header.count(name) > 1 else ""


def _guess_column(name: str, feature: str, cells: list[str], decimal: str, missing: Container[str]) -> Column:
    present = [cell for cell in cells if cell and cell not in missing]
    counts = Counter(present)
    absent = len(cells) - len(present)
    if not present:
        return Column(name, left_out="all its values are missing")
    if len(counts) == 1:
        return Column(name, left_out="it has the same value in each row that has one")
    if are_numbers(counts, decimal) and not any(map(LEADING_ZERO.fullmatch, counts)):
        return _guess_number(name, feature, present, decimal, absent)
    return _guess_category(name, feature, counts, decimal, absent)


def _guess_number(name: str, feature: str, present: list[str], decimal: str, absent: int) -> Column:
    numbers = [read_number(cell, decimal) for cell in present]
    low, high = min(numbers), max(numbers)
    distinct = len(set(numbers))
    whole = all(cell.lstrip("+-").isdigit() for cell in present)
    if whole and distinct == len(numbers) and not absent and _numbers_rows(name, high - low + 1, distinct):
        return Column(name, left_out="it numbers the rows")
    if max(-low, high) > (most := limit(whole=False)):
        return Column(name, left_out=f"it has values beyond {most:g}")
    kind: Literal["integer", "number"] = "integer" if whole and max(-low, high) <= EXACT else "number"
    if reason := _imprecise(low, high) if distinct > FEW_VALUES else _indistinct(numbers):
        return Column(name, left_out=reason)
    middle = int(median_low(numbers)) if whole else float(f"{median(numbers):.6g}")
    doubt = ""
    if whole and distinct <= FEW_VALUES:
        other = ", or a boolean" if {low, high} == {0, 1} else ""
        doubt = f"{distinct} whole numbers: if they are codes, declare a category{other}"
    elif whole and distinct == len(numbers):
        doubt = "each row has another whole number: if it only numbers them, take it out"
    shown = f"{low:g} to {high:g}, median {middle:g}"
    return Column(name, feature, kind, absent, shown, example=middle, doubt=doubt)


def _guess_category(name: str, feature: str, counts: Counter[str], decimal: str, absent: int) -> Column:
    if reason := _no_category(counts, decimal):
        return Column(name, left_out=reason)
    other = len(counts) > MOST_CATEGORIES
    try:
        codes = _codes(sorted(_frequent(counts) if other else counts))
    except ValueError as error:
        return Column(name, left_out=str(error))
    listed = ", ".join(list(codes)[:MOST_LISTED]) + (", ..." if len(codes) > MOST_LISTED else "")
    shown = f"{len(codes)}{' and others' if other else ''}: {listed}"
    doubt = _open_doubt(counts, codes) if other else _category_doubt(counts)
    mode = max(codes, key=lambda category: counts[category])
    return Column(
        name, feature, "category", absent, shown, codes=codes, other=other, example=mode, doubt=doubt
    )


def as_boolean(column: Column) -> Column:
    """Return a category of a pair such as false and true as a boolean; any other column as it is."""
    pair = no_and_yes(column.codes)
    if pair is None or len(column.codes) > len(pair) or " ".join(pair).lower() not in BOOLEANS:
        return column
    shown = f"{pair[0]} and {pair[1]}"
    return replace(column, kind="boolean", codes={}, shown=shown, example=column.example == pair[1])


def _frequent(counts: Counter[str]) -> list[str]:
    """Return the values to list of many; none if the others have most rows."""
    ranked = [cell for cell, rows in counts.most_common(MOST_LISTED_CATEGORIES) if rows >= LEAST_ROWS]
    return ranked if 2 * sum(counts[cell] for cell in ranked) > counts.total() else []


def _open_doubt(counts: Counter[str], codes: Mapping[str, int]) -> str:
    rare = counts.total() - sum(counts[category] for category in codes)
    others = f", as the {len(counts) - len(codes)} rare ones in {rare} rows are" if rare else ""
    return OTHERS.replace(":", f"{others}:")


def _no_category(counts: Counter[str], decimal: str) -> str:
    words = [cell for cell in counts if not are_numbers([cell], decimal)]
    numbers = len(counts) - len(words)
    coded = not words and any(map(LEADING_ZERO.fullmatch, counts))
    rows, many = counts.total(), len(counts) > MOST_CATEGORIES or 2 * len(counts) > counts.total()
    reasons = {
        "it holds codes with leading zeros, such as 007, too many for categories": (many and coded),
        "it holds codes with and without leading zeros, such as 007 and 7: write each in one way": (
            coded and len(set(map(meaning, counts))) < len(counts)
        ),
        "it holds formulas: save their values": any(cell.startswith(("=", "@")) for cell in counts),
        "it holds dates: a model needs numbers, such as days until another date": all(
            DATE.fullmatch(cell) for cell in counts
        ),
        "its numbers have separators of thousands, or another decimal sign than the table: write 1541.9 or "
        "1541,9 as in the other columns, and draft it again": not coded
        and all(
            DIGITS_BY_THREES.fullmatch(cell) or are_numbers([cell], ".") or are_numbers([cell], ",")
            for cell in counts
        ),
        _numbers_but_for(words, counts): many and 2 * numbers > len(counts),
        f"it holds text: {len(counts)} different values in {rows} rows; a model needs categories or numbers, "
        "such as the first word or the length": many and len(_frequent(counts)) < 2,  # noqa: PLR2004
        "its values hold special blanks or control characters": any(
            cell != cell.strip() or not cell.isprintable() for cell in counts
        ),
    }
    return next((reason for reason, applies in reasons.items() if applies), "")


def _numbers_but_for(words: Collection[str], counts: Counter[str]) -> str:
    """Say which cells keep a column from being numbers, and what to do."""
    ranked = sorted(words, key=lambda word: (-counts[word], word))
    listed = ", ".join(f"'{word[:MOST_OF_A_CELL]}' ({counts[word]} rows)" for word in ranked[:MOST_WORDS])
    more = f" and {len(ranked) - MOST_WORDS} more" if len(ranked) > MOST_WORDS else ""
    return (
        f"it is numbers but for {listed}{more}: correct these cells, or empty them if they mean missing, and "
        "draft it again; or declare the feature by hand, and list them in table.missing"
    )


def _category_doubt(counts: Counter[str]) -> str:
    odd = sorted(cell for cell in counts if not any(are_numbers([cell], decimal) for decimal in ".,"))
    if 0 < 2 * len(odd) < len(counts):
        listed = ", ".join(f"'{cell}'" for cell in odd[:MOST_LISTED])
        return (
            f"{len(counts) - len(odd)} of {len(counts)} values are numbers: look at {listed}; what means "
            "missing belongs into table.missing"
        )
    if len({cell.casefold() for cell in counts}) < len(counts):
        return "values that differ in capitals alone are different categories"
    rare = sum(count < FOLDS for count in counts.values())
    return f"{rare} of {len(counts)} values have fewer than {FOLDS} rows" if rare else ""


def _codes(names: list[str]) -> dict[str, int]:
    """Return the code of each category: a name that reads as a whole number is its own code.

    No is 0 and yes 1, as a client that sends such a code means them; other names are in order.
    """
    if pair := no_and_yes(names):
        names = [*pair, *(name for name in names if name not in pair)]
    meanings = [meaning(name) for name in names]
    own = [
        int(value) if isinstance(value, float) and value.is_integer() and abs(value) <= EXACT else None
        for value in meanings
    ]
    free = (code for code in range(2 * len(names) + 1) if code not in own)
    codes = {name: next(free) if code is None else code for name, code in zip(names, own, strict=True)}
    check_codes(codes, ())
    return codes


def _numbers_rows(name: str, span: float, distinct: int) -> bool:
    words = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower().replace(" ", "_").split("_")
    return words[-1] in ID or span == distinct


def _indistinct(numbers: Collection[float]) -> str:
    few = set(numbers)
    if len(set(np.array(list(few), dtype=np.float32).tolist())) == len(few):
        return ""
    return "float32 cannot tell its values apart: subtract a constant from each"


def _imprecise(low: float, high: float) -> str:
    try:
        check_range(low, high, whole=False)
    except ValueError as error:
        return str(error).replace("this range", "it")
    return ""
