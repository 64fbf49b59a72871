"""What a client wants, by its headers Accept and Accept-Encoding."""

import re
from collections.abc import Mapping

QUALITY = re.compile(r"[01](\.[0-9]{0,3})?")


def qualities(header: str) -> dict[str, float]:
    """Return how much a client wants what it names: 0 is not at all, also where the number is none."""
    wanted = {}
    for part in header.split(","):
        name, *parameters = (word.strip().lower() for word in part.split(";"))
        quality = next((word[2:] for word in parameters if word.startswith("q=")), "1")
        wanted[name] = float(quality) if QUALITY.fullmatch(quality) else 0.0
    return wanted


def prefers_page(headers: Mapping[bytes, bytes], *, over: str) -> bool:
    """Return whether a client names text/html, and wants it more than the other type; */* names neither."""
    wanted = qualities(headers.get(b"accept", b"").decode("latin-1"))
    return wanted.get("text/html", 0.0) > wanted.get(over, 0.0)
