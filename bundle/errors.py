"""Errors of a model's files, and of rows that are to be encoded.

BundleError        a file of a model is missing, altered or invalid: one sentence that names the file
InvalidRowsError   rows that cannot be encoded: a FieldError for each reason
"""

from dataclasses import dataclass

from pydantic import ValidationError

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


def first_reason(error: ValidationError, whole: str) -> str:
    """Return place and reason of the first error of a file; `whole` names the place if it is all of it."""
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"]) or whole
    return f"{place}: {first['msg'].removeprefix('Value error, ')}"


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
