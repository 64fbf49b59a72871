"""How a setting names what a registry keeps."""

import re
from dataclasses import dataclass
from typing import Self

REGISTERED = r"models:/(?P<name>[a-z][a-z0-9-]*)/(?P<number>[1-9][0-9]*)"


@dataclass(frozen=True)
class RegisteredVersion:
    """A version of a registered model, written `models:/NAME/NUMBER`."""

    name: str
    number: str

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return what the text names; None where it names no registered version."""
        match = re.fullmatch(REGISTERED, text)
        return cls(match["name"], match["number"]) if match else None

    def __str__(self) -> str:
        return f"models:/{self.name}/{self.number}"
