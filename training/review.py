"""Says what was guessed of a table, and what to review: names, types and counts, and never a row."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bundle.declaration import TableFormat
from bundle.errors import printable
from training.baseline import rare_positive
from training.classes import Class
from training.columns import MOST_LISTED, Column

MOST_LINES = 60
WIDEST = 50
NAMED = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar", " ": "blank", ":": "colon", ".": "point"}


@dataclass(frozen=True)
class Draft:
    """What was guessed of a table: its format, classes and columns."""

    rows: int
    table: TableFormat
    target: str
    classes: list[Class]
    positive: str
    columns: list[Column]
    foreign: list[str]
    converted: bool = False
    """Whether the table is a copy of a Parquet file, whose separator is nobody's choice."""

    @property
    def features(self) -> list[Column]:
        return [column for column in self.columns if not column.left_out]

    @property
    def doubts(self) -> list[tuple[str, str]]:
        """What to review, each with the column that it is about; an empty text is nothing."""
        rare = rare_positive({declared.label: declared.rows for declared in self.classes})
        found = [(self.target, rare), *((column.name, column.doubt) for column in self.columns)]
        return [*found, ("codes", by_alphabet(self.features))]

    @property
    def foreign_words(self) -> list[str]:
        """Words outside of ASCII, which show whether the encoding is right."""
        categories = [category for column in self.features for category in column.codes]
        found = [*self.foreign, *categories, *(declared.target for declared in self.classes)]
        return list(dict.fromkeys(word for word in found if not word.isascii()))[:5]


def by_alphabet(features: list[Column]) -> str:
    """Name the features whose codes are guessed, as a client may send a code in place of a text."""
    names = [column.feature for column in features if column.coded_by_alphabet]
    if not names:
        return ""
    more = f" and {len(names) - MOST_LISTED} more" if len(names) > MOST_LISTED else ""
    listed = f"{', '.join(names[:MOST_LISTED])}{more}"
    return f"those of {listed} follow the alphabet: clients may send them, so give them your own numbers"


def review(folder: Path, draft: Draft) -> Iterator[str]:
    """Yield the lines to print."""
    features = draft.features
    yield f"wrote {folder}: {draft.rows} rows, {len(features)} features, {len(draft.classes)} classes"
    yield ""
    yield from (f"{name:14}{printable(text)}" for name, text in _found(draft))
    yield ""
    yield from _table(features)
    yield from _list("Left out:", [(column.name, column.left_out) for column in draft.columns])
    yield from _list("To review:", draft.doubts)
    yield from ("", *_next(folder, binary=len(draft.classes) == 2))  # noqa: PLR2004


def _found(draft: Draft) -> Iterator[tuple[str, str]]:
    table = draft.table
    words = f" (reads as {', '.join(draft.foreign_words)})" if draft.foreign_words else ""
    if not draft.converted:
        yield "separator", NAMED[table.separator]
        yield "encoding", f"{table.encoding}{words}"
        yield "decimal sign", NAMED[table.decimal]
    yield "missing", ", ".join(["empty cells", *table.missing])
    for declared in draft.classes:
        written = "" if declared.target == declared.label else f" ({declared.target} in '{draft.target}')"
        positive = declared == draft.classes[-1] and draft.positive
        guessed = f"; guessed to be the positive class, {draft.positive}" if positive else ""
        yield "class", f"{declared.label}{written}: {declared.rows} rows{guessed}"


def _table(features: list[Column]) -> Iterator[str]:
    columns = [
        (feature.name, feature.feature, feature.kind, feature.missing, feature.shown) for feature in features
    ]
    header = ("column", "feature", "type", "missing", "values")
    rows = [[_cut(str(cell)) for cell in row] for row in (header, *columns)]
    widths = [max(len(row[place]) for row in rows) for place in range(4)]
    yield from _capped(["  ".join([*map(str.ljust, row[:4], widths), row[4]]).rstrip() for row in rows])


def _list(title: str, reasons: list[tuple[str, str]]) -> Iterator[str]:
    if reasons := [(name, reason) for name, reason in reasons if reason]:
        yield from ("", title, *_capped([f"  {_cut(name)}: {reason}" for name, reason in reasons]))


def _capped(lines: list[str]) -> list[str]:
    more = len(lines) - MOST_LINES
    return lines if more <= 0 else [*lines[:MOST_LINES], f"... and {more} more"]


def _cut(text: str) -> str:
    safe = printable(text)
    return safe if len(safe) <= WIDEST else f"{safe[: WIDEST - 3]}..."


def _next(folder: Path, *, binary: bool) -> Iterator[str]:
    guessed = "the positive class and the types are" if binary else "the types are"
    yield f"Next, in {folder / 'model.toml'}: write what is 'Not stated yet', see whether {guessed}"
    yield "right, and give a number its unit and the range of what is possible. Then:"
    yield f"  make check MODEL={folder.name}"
    yield f"  make train MODEL={folder.name}"
    yield f"  MODEL={folder.name} make run"
