"""Values as nobody expects them: a walk through the chart's schema, drawn by a seed.

A value that the schema gains is drawn without a change here. A file starts from one of ci/, so that most
parts of the chart are rendered, and changes a few values of it.
"""

import json
import re
from collections.abc import Callable
from copy import deepcopy
from random import Random
from typing import Any

import yaml

from tests.harness import CHART

Schema = dict[str, Any]

SCHEMA: Schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
BASES = [yaml.safe_load(file.read_text(encoding="utf-8")) for file in sorted((CHART / "ci").glob("*.yaml"))]
RELEASES = ["heart-disease-api"] * 5 + ["a"] * 4 + ["r" * 53, "r-1.2"]

TEXTS = [
    "", " ", "x", "v2", "heart", "n" * 52, "a-b", "a.b", "a_b", "a/b", "A", "-x", "x-", ".x", "123", "007",
    "1e3", "0x1f", "true", "null", "~", "on", "2024-01-01", "-1", "0.5", "50%", "101%", "1Gi", "0Gi", "100m",
    "9" * 30 + "Gi", "5m", "99999999h", "0s", "a b", " x", "x ", "a: b # c", "'", '"', "\\", "{{ .Values }}",
    "@", "*", "&x", "!x", "%", "|", "- x", "a\nb", "a\n---\nb", "a\tb", "Köln", "名前", "é", "🫀", "\u200b",
    "\u2028", "a,b", "a=b", "/", "/a", "/a/", "//", "/../a", "/a b", "/%2f", "http://a", "http://a:99999",
    "http://a:0/x", "https://[::1]:8/", "http://%zz", "http://a:b@c", "http://ä", "http://[", "a:5000/b",
    "a:b:c", "registry.example.org:99999/x", "10.0.0.0/8", "10.0.0.0/33", "10.0.0.1/8", "1.2.3.4",
    "999.1.1.1", "2001:db8::/32", "::", "*.example.org", "example.org.", "a..b", "_dmarc.example.org",
    "0 3 * * 0", "@daily", "* * * *", "61 * * * *", "5-1 * * * *", "*/0 * * * *", "TZ=UTC 0 0 * * *",
    "sha256:" + "a" * 64, "kubernetes.io/hostname", "app", "app.kubernetes.io/name", "tmp", "api", "FAULT_X",
    "PATH", "groups: [", "groups: []", "runs:/" + "0" * 32 + "/x",
    *("n" * length for length in (15, 16, 63, 64, 128, 253, 254, 1100)), "a." * 100 + "a", "a-" * 40 + "a",
]  # fmt: skip
NUMBERS = [
    0, 1, 2, 3, -1, 7, 53, 80, 99, 100, 101, 443, 1000, 1024, 8000, 9091, 30080, 65535, 65536, 86400,
    10**6, 10**9, 2**31 - 1, 2**31, 2**53, 2**63, 10**30, 0.5, 0.25, 1.5, 1e-7, -0.5, 1e300,
]  # fmt: skip
OTHERS: list[Any] = [
    None,
    True,
    False,
    [],
    {},
    [None],
    [""],
    ["x", "x"],
    {"x": "y"},
    {"x": None},
    {"": ""},
    [[]],
    {"x": {}},
]


def values_of(seed: int) -> dict[str, Any]:
    """Return the values of a seed: those of a file in ci/ with up to six others."""
    random = Random(seed)
    values: dict[str, Any] = deepcopy(random.choice(BASES))
    for _ in range(random.choice([1, 1, 2, 2, 3, 6])):
        change(values, SCHEMA, random)
    return values


def release_of(seed: int) -> str:
    return Random(-seed).choice(RELEASES)


def change(values: dict[str, Any], schema: Schema, random: Random) -> None:
    """Draw one value somewhere below, as deep as a person writes it."""
    name = random.choice(sorted(schema["properties"]))
    member = resolved(schema["properties"][name])
    if "properties" in member and random.random() < 0.9:
        inner = values.get(name)
        values[name] = inner if isinstance(inner, dict) else {}
        change(values[name], member, random)
    else:
        values[name] = draw(member, random)


def resolved(schema: Schema) -> Schema:
    while "$ref" in schema:
        schema = SCHEMA["definitions"][schema["$ref"].rpartition("/")[2]]
    return schema


def draw(schema: Schema, random: Random) -> Any:
    """Return a value for a schema: mostly one that it allows, else anything."""
    if random.random() < 0.05:
        pools: list[list[Any]] = [TEXTS, NUMBERS, OTHERS]
        return random.choice(random.choice(pools))
    schema = resolved(schema)
    if "examples" in schema and random.random() < 0.4:
        return deepcopy(random.choice(schema["examples"]))
    if "oneOf" in schema and not schema.keys() & {"properties", "type"}:
        return draw(random.choice(schema["oneOf"]), random)
    if "enum" in schema:
        return random.choice(schema["enum"])
    kind = schema.get("type", "object")
    return DRAWN[random.choice(kind) if isinstance(kind, list) else kind](schema, random)


def draw_text(schema: Schema, random: Random) -> str:
    pattern = schema.get("pattern", "").replace(r"\p{L}\p{N}", r"\w")  # as Go writes it
    allowed = [text for text in TEXTS if re.search(pattern, text)]
    return str(random.choice(allowed if allowed and random.random() < 0.95 else TEXTS))


def draw_number(schema: Schema, random: Random) -> Any:
    least, most = schema.get("minimum", -(2**70)), schema.get("maximum", 2**70)
    ends = [bound for bound in (schema.get("minimum"), schema.get("maximum")) if bound is not None]
    allowed = [number for number in NUMBERS if least <= number <= most] + ends * 3
    if schema.get("type") == "integer":
        allowed = [number for number in allowed if number == int(number)]
    return random.choice(allowed if allowed and random.random() < 0.95 else NUMBERS)


def draw_list(schema: Schema, random: Random) -> list[Any]:
    return [draw(schema.get("items", {}), random) for _ in range(random.choice([0, 1, 1, 2, 3]))]


def draw_table(schema: Schema, random: Random) -> dict[str, Any]:
    properties = schema.get("properties", {})
    names = [
        name for name in sorted(properties) if name in schema.get("required", ()) or random.random() < 0.4
    ]
    drawn = {name: draw(properties[name], random) for name in names}
    others = schema.get("additionalProperties", {})
    if others is not False and not properties:
        for _ in range(random.choice([0, 1, 1, 2])):
            drawn[draw_text(schema.get("propertyNames", {}), random)] = draw(
                others or {"type": "string"}, random
            )
    return drawn


DRAWN: dict[str, Callable[[Schema, Random], Any]] = {
    "string": draw_text,
    "number": draw_number,
    "integer": draw_number,
    "array": draw_list,
    "object": draw_table,
    "boolean": lambda _, random: random.random() < 0.7,
    "null": lambda *_: None,
}
