"""Valid spellings of values in a declaration and a table, and spellings that can be confused."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Annotated
from unicodedata import normalize

from pydantic import AfterValidator, Field

DECIMAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
BLANKS = " \t"
MINUS_SIGN = "\u2212"


def _trimmed(text: str) -> str:
    if not text:
        raise ValueError("is empty")
    if text != text.strip():
        raise ValueError("begins or ends with a blank")
    return text


Text = Annotated[str, AfterValidator(_trimmed)]
Whole = Annotated[int, Field(strict=True)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Switch = Annotated[bool, Field(strict=True)]
"""Strict types of TOML: neither true nor "1" is 1, and 1.0 is no whole number."""


def parse_number(cell: str) -> int | float:
    """Return the number in a cell without blanks; ValueError unless it is written as a decimal.

    float() accepts more: 6_3, digits of any script, inf and nan.
    """
    number = float(cell) if DECIMAL.fullmatch(cell) else math.nan
    if not math.isfinite(number):
        raise ValueError("is not written as a number")
    return int(number) if number.is_integer() else number


def meaning(spelling: str | int) -> str | float:
    """Return the number that a client or spreadsheet may read in a spelling; else the spelling itself.

    "1", "01", "+1.0", full-width digits and 1 mean the same. It is generous, to find ambiguous spellings.
    """
    text = normalize("NFKC", str(spelling))
    try:
        number = float(text.replace(MINUS_SIGN, "-").replace(",", "."))
    except ValueError:
        return text
    return number if math.isfinite(number) else text


def shown_apart(first: str, second: str) -> str:
    """Return two spellings to print, with the code points of what looks the same."""
    if normalize("NFKC", first) != normalize("NFKC", second):
        return f"'{first}' and '{second}'"
    points = [" ".join(f"U+{ord(letter):04X}" for letter in text) for text in (first, second)]
    return f"'{first}' ({points[0]}) and '{second}' ({points[1]})"


def check_codes(codes: Mapping[str, int], missing_codes: Sequence[int]) -> None:
    """Reject a name or code that can be confused with another; ValueError says which."""
    owners: dict[str | float, str | None] = {}
    for name, code in codes.items():
        if owners.setdefault(meaning(code), name) != name:
            raise ValueError(f"two categories have the same code {code}")
    for code in missing_codes:
        if (owner := owners.setdefault(meaning(code), None)) is not None:
            raise ValueError(f"a missing code and '{owner}' have the same code {code}")
    for name in codes:
        if (owner := owners.setdefault(meaning(name), name)) != name:
            if owner is not None and isinstance(meaning(name), str):
                raise ValueError(f"one category in two spellings, {shown_apart(owner, name)}: keep one")
            means = "missing" if owner is None else f"'{owner}'"
            raise ValueError(
                f"'{name}' reads as a number that means {means}: call a category by its own code, or a word"
            )
