"""Errors of a model's files, and of rows that are to be encoded.

BundleError        a file of a model is missing, altered or invalid: one sentence that names the file
InvalidRowsError   rows that cannot be encoded: a FieldError for each reason
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydantic import ValidationError
from pydantic_core import ErrorDetails

MOST_CHARACTERS = 1000


def printable(text: str) -> str:
    """Return a text that is safe to print: control characters escaped, long texts cut.

    Names and reasons may come from an untrusted server or file.
    """
    safe = "".join(
        character if character.isprintable() else ascii(character)[1:-1]
        for character in text[: MOST_CHARACTERS + 1]
    )
    return safe if len(safe) <= MOST_CHARACTERS else f"{safe[: MOST_CHARACTERS - 3]}..."


PATTERNS = {
    r"^[A-Za-z][A-Za-z0-9_]*$": "letters, digits and underscores after a first letter, such as blood_sugar",
    r"^[a-z][a-z0-9-]*$": "lower case letters, digits and hyphens after a first letter, such as credit-risk",
    r"^[a-z][a-z0-9_-]*$": "lower case letters, digits, - and _ after a first letter, such as credit-api",
    r"^[a-z_][a-z0-9_]*$": "lower case letters, digits and underscores, such as predictions_total",
    r"^v[1-9][0-9]{0,8}$": "v and a whole number, such as v2",
}
"""Pattern of a name -> what it must consist of."""

REASONS = {
    "missing": "is missing: add it",
    "extra_forbidden": "is not known here: remove it, or correct its name",
    "string_type": "must be text in quotes",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "none_required": "must be missing",
    "finite_number": "must be a finite number",
    "tuple_type": "must be a list, such as [1, 2]",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "literal_error": "must be {expected}",
    "union_tag_not_found": "needs a {discriminator}",
    "union_tag_invalid": "must have as its {discriminator} one of {expected_tags}",
    "too_short": "needs at least {min_length} of them",
    "too_long": "has more than {max_length} of them",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
}
"""Type of a pydantic error -> what is allowed, with the names of its context."""

ALTERNATIVES = {"int", "float", "str", "none", "bool"}
"""Last parts of the places of errors that are about one value, which may be of several types."""


def first_reason(error: ValidationError, whole: str, content: object = None) -> str:
    """Return place and reason of the first error of a file; `whole` names the place if it is all of it.

    What stands in a list is called by its name or label, where the content of the file has one.
    """
    first, *others = error.errors()
    location, reasons = first["loc"], [_reason(first)]
    if location and _is_alternative(location[-1]):
        location = location[:-1]
        reasons += [_reason(other) for other in others if other["loc"][:-1] == location]
    if location[0:1] == ("features",):  # then the type of a feature, which model.toml does not have there
        location = location[:2] + location[3:]
    place = ".".join(_named(location, content)) or whole
    return f"{place}: {' or '.join(dict.fromkeys(reasons)).replace(' or must be ', ' or ')}"


def _named(location: Sequence[int | str], content: object) -> Iterator[str]:
    for part in location:
        try:
            content = content[part]  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            content = None
        called = (
            content.get("name") or content.get("label")
            if isinstance(part, int) and isinstance(content, dict)
            else None
        )
        yield printable(called) if isinstance(called, str) else str(part)


def _is_alternative(part: int | str) -> bool:
    return part in ALTERNATIVES or (isinstance(part, str) and part.startswith(("function-", "constrained-")))


def _as_a_share(error: ErrorDetails) -> str:
    """Return a hint where a share was most likely written in percent."""
    if error["type"] != "less_than" or error.get("ctx", {}).get("lt") != 1 or not 1 < error["input"] < 100:  # noqa: PLR2004
        return ""
    return f": it is a share, such as {error['input'] / 100:g} for {error['input']:g} %"


def _reason(error: ErrorDetails) -> str:
    context = error.get("ctx", {})
    if error["type"] == "string_pattern_mismatch" and context["pattern"] in PATTERNS:
        return f"must be {PATTERNS[context['pattern']]}"
    if error["type"] in REASONS:
        return REASONS[error["type"]].format_map(context) + _as_a_share(error)
    return error["msg"].removeprefix("Value error, ")


class BundleError(Exception):
    def __init__(self, sentence: str) -> None:
        super().__init__(printable(sentence))


@dataclass(frozen=True, slots=True)
class FieldError:
    """Why one value is invalid.

    `detail` never contains the value, so it may be logged. `known` says whether the model declares `field`;
    an undeclared name is text of the client and is not logged.
    """

    field: str
    detail: str
    row: int | None = None
    known: bool = True


class InvalidRowsError(ValueError):
    def __init__(self, errors: list[FieldError]) -> None:
        super().__init__(f"{len(errors)} invalid values")
        self.errors = errors
