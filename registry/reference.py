"""How a setting or an option names what a registry keeps."""

import re
from dataclasses import dataclass

NAME = r"[\w-](?:[\w .-]{0,253}[\w.-])?"
NUMBER = re.compile(r"[1-9][0-9]{0,8}")
ALIAS = r"[\w-]{1,255}"
REGISTERED = re.compile(rf"models:/(?P<name>{NAME})(?:/(?P<number>{NUMBER.pattern})|@(?P<alias>{ALIAS}))")

FORMS = "models:/NAME/NUMBER or models:/NAME@ALIAS, where NAME has letters, digits, spaces and _ - . alone"


@dataclass(frozen=True)
class RegisteredVersion:
    """A version of a registered model; `alias` is the one by which it was found."""

    name: str
    number: str
    alias: str | None = None

    def __str__(self) -> str:
        written = f"models:/{self.name}/{self.number}"
        return f"{written} (alias {self.alias})" if self.alias else written


@dataclass(frozen=True)
class RegisteredAlias:
    """Whichever version of a registered model has an alias."""

    name: str
    alias: str

    def __str__(self) -> str:
        return f"models:/{self.name}@{self.alias}"


Reference = RegisteredVersion | RegisteredAlias


def parse_reference(text: str) -> Reference | None:
    """Return what `models:/NAME/NUMBER` or `models:/NAME@ALIAS` names; None where a text is neither."""
    match = REGISTERED.fullmatch(text)
    if match is None:
        return None
    if match["alias"]:
        return RegisteredAlias(match["name"], match["alias"])
    return RegisteredVersion(match["name"], match["number"])
