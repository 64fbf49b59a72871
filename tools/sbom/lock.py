"""What a lock of `requirements/` says: a version of each distribution, and which files may be installed."""

import re
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


@dataclass(frozen=True)
class Locked:
    """A distribution, with the sha256 of each file that pip accepts for it."""

    name: str
    version: str
    hashes: tuple[str, ...]


def read_lock(path: Path) -> list[Locked]:
    """Return what a lock installs on this kind of machine, with this Python, by name."""
    lines = re.sub(r"\\\n", " ", path.read_text(encoding="utf-8")).splitlines()
    entries = [_entry(line) for line in lines if line.strip() and not line.lstrip().startswith("#")]
    return sorted((entry for entry in entries if entry), key=lambda entry: entry.name)


def _entry(line: str) -> Locked | None:
    text, *hashes = re.split(r"\s+--hash=sha256:", line.strip())
    requirement = Requirement(text)
    if requirement.marker and not requirement.marker.evaluate():
        return None
    (version,) = requirement.specifier
    return Locked(canonicalize_name(requirement.name), version.version, tuple(sorted(hashes)))
