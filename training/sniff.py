"""Guesses how a table is written; only `make new` guesses, and writes what it found into model.toml."""

import codecs
import csv
import io
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from unicodedata import category

from charset_normalizer import from_bytes

from bundle.declaration import TableFormat
from bundle.spelling import BLANKS
from training.content import HEAD_BYTES
from training.table import SEPARATOR_LINE, DataError, read_number, records

MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Byte order marks; that of UTF-32 begins with that of UTF-16."""

SINGLE_BYTE = [f"cp{number}" for number in range(1250, 1258)]
ENCODINGS = [*SINGLE_BYTE, "koi8_r", "cp932", "euc_jp", "gb18030", "big5", "euc_kr"]
SEPARATORS = (",", ";", "\t", "|", ":", " ")
SAMPLE_BYTES = 64 * 1024

MARKERS = {"?", "-", "na", "n/a", "#n/a", "nan", "null"}
MARKERS_AMONG_NUMBERS = MARKERS | {"--", ".", "*", "none", "unknown", "missing", "n.a.", "(null)", "\\n"}
"""Cells that stand for a missing value, in lower case; some may be a category's name in a column of words."""

MOST_PLACEHOLDERS = 3
FEWEST_ROWS = 3
FEWEST_NUMBERS = 11
"""A word among fewer different numbers is a category, such as that of a count that ends with `more`."""

MOST_PLACEHOLDER_ROWS = 0.2


def guess_format(path: Path, content: bytes, target: str) -> TableFormat:
    """Return encoding and separator of a table; DataError if it is no text."""
    encoding = guess_encoding(path, content)
    _check_nul(path, _text(content[:HEAD_BYTES], encoding, errors="replace"))
    try:
        text = _text(content, encoding)
    except UnicodeDecodeError:
        raise DataError(f"{path} is cut off, or is not {encoding.upper()}, as its beginning says") from None
    _check_nul(path, text)
    return table_format(guess_separator(text, target), encoding, ".", ())


def _check_nul(path: Path, text: str) -> None:
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise DataError(f"{path}, line {line} holds a NUL character: the file is damaged, or is no text")


def foreign_words(path: Path, content: bytes, table: TableFormat) -> list[str]:
    """Return the words of the header that show whether the encoding is right."""
    _, header = next(records(path, content, table))
    return [name for name in header if not name.isascii()]


def guess_encoding(path: Path, content: bytes) -> str:
    """Return the encoding; DataError if no common one fits all lines."""
    for mark, encoding in MARKS.items():
        if content.startswith(mark):
            return encoding
    head = content[:HEAD_BYTES]
    for offset, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        if 4 * head[offset::2].count(0) > len(head):  # over half of the high bytes
            return encoding
    if 0 in head:
        return "utf-8"
    lines = list(enumerate(content.splitlines(), 1))
    foreign = [(number, line) for number, line in lines if not _decodes(line, "utf-8")]
    if not foreign:
        return "utf-8"
    guess = _guess_code_page(b"\n".join(line for _, line in foreign)[:SAMPLE_BYTES])
    valid = sum(not line.isascii() for _, line in lines) - len(foreign)
    if valid >= len(foreign) or (valid and guess in SINGLE_BYTE):  # hardly ever by chance
        raise DataError(
            f"{path}, line {foreign[0][0]} is not UTF-8, and other lines are: encodings are mixed, or the "
            "file is cut off: save it as UTF-8"
        )
    if not _decodes(content, guess):
        raise DataError(f"{path}, line {foreign[0][0]}: the encoding is unknown: save the file as UTF-8")
    return guess


def guess_separator(text: str, target: str) -> str:
    """Return the separator that the table names, or by which the header holds the target or is widest."""
    if (named := SEPARATOR_LINE.match(text)) and named[1] in SEPARATORS:
        return named[1]
    headers = {separator: _header(text, separator) for separator in SEPARATORS}
    fitting = [separator for separator, header in headers.items() if target in header]
    return max(fitting or SEPARATORS, key=lambda separator: len(headers[separator]))


def guess_notation(columns: Iterable[Mapping[str, int]], separator: str) -> tuple[str, list[str]]:
    """Return the decimal sign, and the cells that mean a missing value, of columns: the rows of each cell."""
    signs = {sign: [0, 0] for sign in ".,"}  # columns of numbers alone, and those of numbers and others
    missing: set[str] = set()
    for counts in columns:
        marked = {cell for cell in counts if cell.lower() in MARKERS_AMONG_NUMBERS}
        rest = {cell: rows for cell, rows in counts.items() if cell and cell not in marked}
        numeric = False
        for sign, votes in signs.items():
            numbers = {cell for cell in rest if are_numbers([cell], sign)}
            words = placeholders(rest, numbers)
            if rest and numbers | words == rest.keys():
                numeric = True
                missing |= words
            if any(sign in cell for cell in numbers):
                votes[0] += len(numbers) == len(rest)
                votes[1] += 2 * len(numbers) > len(rest)
        missing |= marked if numeric else {cell for cell in marked if cell.lower() in MARKERS}
    comma = separator != "," and signs[","] > signs["."]
    return "," if comma else ".", sorted(missing)


def placeholders(counts: Mapping[str, int], numbers: AbstractSet[str]) -> set[str]:
    """Return the words that most likely mean a missing value, as nearly all other cells are numbers.

    Few words without digits, each in several rows, among many different numbers: neither `<0.5`, which is a
    measurement, nor a word that occurs once, which may be a mistake.
    """
    words = counts.keys() - numbers
    rows = [counts[cell] for cell in words]
    likely = (
        0 < len(words) <= MOST_PLACEHOLDERS
        and min(rows) >= FEWEST_ROWS
        and sum(rows) <= MOST_PLACEHOLDER_ROWS * sum(counts.values())
        and len(numbers) >= FEWEST_NUMBERS
        and not any(character.isdigit() for cell in words for character in cell)
    )
    return words if likely else set()


def are_numbers(cells: Iterable[str], decimal: str) -> bool:
    """Return whether each cell is written as a number."""
    try:
        for cell in cells:
            read_number(cell, decimal)
    except ValueError:
        return False
    return True


def table_format(separator: str, encoding: str, decimal: str, missing: Iterable[str]) -> TableFormat:
    return TableFormat.model_validate(
        {"separator": separator, "encoding": encoding, "decimal": decimal, "missing": tuple(missing)}
    )


def _text(content: bytes, encoding: str, errors: str = "strict") -> str:
    return content.decode("utf-8-sig" if encoding == "utf-8" else encoding, errors)


def _decodes(content: bytes, encoding: str) -> bool:
    try:
        content.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _guess_code_page(sample: bytes) -> str:
    """Return the likeliest encoding: Western European if it reads the same, or others have lone accents."""
    best = from_bytes(sample, cp_isolation=ENCODINGS).best()
    if best is None or not _decodes(sample, "cp1252"):
        return "cp1252" if best is None else best.encoding
    western, text = sample.decode("cp1252"), str(best)
    if text == western or _lone_accents(text) > _lone_accents(western):
        return "cp1252"
    return best.encoding


def _lone_accents(text: str) -> int:
    return sum(not character.isascii() and category(character) == "Sk" for character in text)


def _header(text: str, separator: str) -> list[str]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        return [name.strip(BLANKS) for name in next((cells for cells in reader if cells), [])]
    except csv.Error:
        return []
