"""The trace that a request belongs to, by its header traceparent (W3C Trace Context)."""

import re
from collections.abc import Iterable

from serving.http.security_headers import Header

NAME = b"traceparent"
VALUE = re.compile(
    rb"(?!ff)(?P<version>[0-9a-f]{2})-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
    rb"(?P<more>-.*)?"
)
"""A later version may have more members; this one, 00, has none."""


def trace_id(headers: Iterable[Header]) -> str:
    """Return the trace id of a request's only and valid traceparent, else ""."""
    sent = [value for name, value in headers if name == NAME]
    found = VALUE.fullmatch(sent[0]) if len(sent) == 1 else None
    if found is None or (found["version"] == b"00" and found["more"]):
        return ""
    return found["trace"].decode()
