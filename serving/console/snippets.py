"""A request as programs send it: for a shell, for Python, and its body as JSON."""

import json
import shlex
from dataclasses import dataclass
from pprint import pformat
from typing import Any


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
