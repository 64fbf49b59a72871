"""A request as programs send it: for a shell, for Python, and its body as JSON."""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pprint import pformat
from typing import Any

HOST = re.compile(rb"[A-Za-z0-9._-]+(:[0-9]+)?|\[[0-9a-fA-F:.]+\](:[0-9]+)?")
SCHEMES = (b"http", b"https")


@dataclass(frozen=True)
class Snippet:
    name: str
    title: str
    text: str


def snippets(address: str, body: Any) -> list[Snippet]:
    """Return a request with this body in each language; every value is quoted as the language asks for."""
    compact = json.dumps(body)
    curl = f"curl -s {shlex.quote(address)} -H 'Content-Type: application/json' -d {shlex.quote(compact)}"
    python = f"import requests\n\nrow = {pformat(body, sort_dicts=False)}\n"
    python += f"print(requests.post({address!r}, json=row, timeout=10).json())"
    return [
        Snippet("curl", "curl", curl),
        Snippet("python", "Python", python),
        Snippet("json", "JSON", json.dumps(body, indent=2)),
    ]


def api_address(headers: Mapping[bytes, bytes], scheme: str, path: str) -> str:
    """Return the address of the API as the visitor sees it, behind a proxy too."""
    host = headers.get(b"host", b"")
    if not HOST.fullmatch(host):
        host = b"127.0.0.1:8000"
    forwarded = headers.get(b"x-forwarded-proto", b"")
    shown = forwarded.decode() if forwarded in SCHEMES else scheme
    return f"{shown}://{host.decode()}{path}"
