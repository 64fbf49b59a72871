"""Which of two media types a client wants, by its header Accept."""

import re

QUALITY = re.compile(r"[01](\.[0-9]{0,3})?")


def prefers_page(accept: str, *, over: str) -> bool:
    """Return whether a client names text/html, and wants it more than the other type; */* names neither."""
    wanted = {"text/html": 0.0, over: 0.0}
    for part in accept.split(","):
        media_type, *parameters = (word.strip().lower() for word in part.split(";"))
        if media_type in wanted:
            quality = next((word[2:] for word in parameters if word.startswith("q=")), "1")
            wanted[media_type] = float(quality) if QUALITY.fullmatch(quality) else 0.0
    return wanted["text/html"] > wanted[over]
