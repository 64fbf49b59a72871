"""Writes tables of docs/metrics.md, docs/models.md and the chart's README.md from what decides them.

`make reference` runs it; tests/unit/test_reference.py holds the pages to it.
"""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from bundle.concepts import CONCEPTS, MODEL, Concept
from bundle.declaration import Declaration
from bundle.metric_names import DEFAULT_METRICS, NEEDED_BY_RULES
from training.recipe import RETURNS, SIGNATURES

PROJECT = Path(__file__).resolve().parent.parent
CHART = PROJECT / "helm-charts" / "heart-disease-api"
JSON_TYPES = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "object": "table",
}


def render() -> dict[Path, str]:
    """Return each page with its tables brought up to date."""
    tables = {
        PROJECT / "docs" / "metrics.md": {
            "concepts": concept_rows(),
            "common names": common_rows(),
            "default names": default_rows(),
        },
        PROJECT / "docs" / "models.md": {
            "members of model.toml": member_rows(),
            "metrics that rules need": needed_lines(),
            "functions of recipe.py": function_rows(),
        },
        CHART / "README.md": {"values": value_rows((CHART / "values.yaml").read_text(encoding="utf-8"))},
    }
    pages = {}
    for file, of_page in tables.items():
        page = file.read_text(encoding="utf-8")
        for table, rows in of_page.items():
            page = replaced(page, table, rows)
        pages[file] = page
    return pages


def replaced(page: str, name: str, lines: Iterable[str]) -> str:
    """Return the page with these lines between the markers of a name; ValueError where it has none."""
    begin, end = f"<!-- {name}: written by `make reference` -->", f"<!-- end of {name} -->"
    table = "\n".join([begin, "", *lines, "", end])
    changed, number = re.subn(f"(?s){re.escape(begin)}.*{re.escape(end)}", lambda _: table, page)
    if number != 1:
        raise ValueError(f"the page needs the lines '{begin}' and '{end}' once each")
    return changed


def value_rows(text: str) -> Iterator[str]:
    """Yield a row for each value of the chart that has a comment."""
    yield "| value | default | what it is |"
    yield "|---|---|---|"
    defaults = yaml.safe_load(text)
    path: list[str] = []
    comment: list[str] = []
    for line in text.splitlines():
        if found := re.match(r"( *)# (.*)", line):
            comment.append(found[2])
        elif found := re.match(r"( *)([\w-]+):", line):
            path[len(found[1]) // 2 :] = [found[2]]
            if comment:
                default = defaults
                for name in path:
                    default = default[name]
                yield f"| `{'.'.join(path)}` | `{json.dumps(default)}` | {' '.join(comment)} |"
            comment = []


def concept_rows() -> Iterator[str]:
    yield "| concept | type | dimensions | what it is |"
    yield "|---|---|---|---|"
    for concept in CONCEPTS:
        yield f"| {concept.name} | {concept.kind} | {dimensions(concept)} | {concept.help} |"


def dimensions(concept: Concept) -> str:
    """Return the dimensions as the page lists them; the four of a model are `model's`."""
    if concept.dimensions[: len(MODEL)] == MODEL:
        return ", ".join(["model's", *concept.dimensions[len(MODEL) :]])
    return ", ".join(concept.dimensions)


def common_rows() -> Iterator[str]:
    yield "| name | labels |"
    yield "|---|---|"
    for named in filter(None, (concept.common_name for concept in CONCEPTS)):
        yield f"| `{named.name}` | {', '.join(f'`{label}`' for label in named.labels)} |"


def default_rows() -> Iterator[str]:
    yield "| concept | name | labels: dimension |"
    yield "|---|---|---|"
    for concept, named in DEFAULT_METRICS.items():
        labels = [
            f"`{label}`" if label == dimension else f"`{label}`: {dimension}"
            for label, dimension in named.labels.items()
        ]
        yield f"| {concept} | `{named.name}` | {', '.join(labels)} |"


def needed_lines() -> Iterator[str]:
    """Return a [metrics] section with the names that `make rules` needs, each with all its labels."""
    yield "```toml"
    for concept, dimensions in NEEDED_BY_RULES.items():
        needed = f"  # rules need the labels of {', '.join(dimensions)}" if dimensions else ""
        yield f"[metrics.{concept}]{needed}"
        yield f'name = "credit_{DEFAULT_METRICS[concept].name.removeprefix("model_")}"'
        if shown := DEFAULT_METRICS[concept].labels:
            labels = [f'{label} = "{dimension}"' for label, dimension in shown.items()]
            yield f"labels = {{ {', '.join(labels)} }}"
    yield "```"


def member_rows() -> Iterator[str]:
    """Return a row for each member of model.toml; ValueError where one has no docstring."""
    yield "| member | value | default | meaning |"
    yield "|---|---|---|---|"
    schema = Declaration.model_json_schema()
    for path, member, required in members(schema, schema.get("$defs", {})):
        if "description" not in member:
            raise ValueError(f"{path} of model.toml needs a docstring")
        meaning = " ".join(member["description"].split())
        default = "" if required else shown_default(member.get("default"))
        yield f"| `{path}` | {value_of(member)} | {default} | {meaning} |"


def members(
    table: dict[str, Any], tables: dict[str, Any], prefix: str = ""
) -> Iterator[tuple[str, dict[str, Any], bool]]:
    """Return path, schema and whether it is needed of each member of a table, and of the tables in it."""
    for name, member in table["properties"].items():
        yield prefix + name, member, name in table.get("required", ())
        inner = tables_in(member, tables)
        if inner:
            yield from members(united(inner), tables, f"{prefix}{name}.")


def tables_in(member: dict[str, Any], tables: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the kinds of table that a member is, lists, or has by any name; none where it has no table."""
    found = member
    for key in ("items", "patternProperties", "additionalProperties"):
        if isinstance(inner := member.get(key), dict):
            found = next(iter(inner.values())) if key == "patternProperties" else inner
    kinds = found.get("oneOf", [found])
    return [tables[kind["$ref"].rpartition("/")[2]] for kind in kinds if "$ref" in kind]


def united(kinds: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one schema with the members of all kinds, and all values of what tells the kinds apart."""
    properties: dict[str, Any] = {}
    for kind in kinds:
        for name, member in kind["properties"].items():
            values = [*properties.get(name, {}).get("enum", ()), *enumerated(member)]
            properties[name] = properties.get(name, member) | ({"enum": values} if values else {})
    required = [name for kind in kinds for name in kind.get("required", ())]
    return {"properties": properties, "required": required}


def enumerated(member: dict[str, Any]) -> list[Any]:
    return list(member.get("enum", [member["const"]] if "const" in member else []))


def value_of(member: dict[str, Any]) -> str:
    """Return what a member's value can be, in words."""
    if values := enumerated(member):
        return ", ".join(f"`{value}`".replace("\t", "\\t").replace("|", "\\|") for value in values)
    if kinds := [kind for kind in member.get("anyOf", ()) if kind.get("type") != "null"]:
        return " or ".join(map(value_of, kinds))
    if member.get("type") == "array":
        if "prefixItems" in member:
            return f"list of {len(member['prefixItems'])} {value_of(member['prefixItems'][0])}s"
        kind = "list" if member["items"].get("type") == "array" else value_of(member["items"])
        return f"list of {kind}s"
    return JSON_TYPES[member.get("type", "object")]


def shown_default(value: object) -> str:
    """Return a default as model.toml would have it; an empty one is none."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and value:
        return f"`{value}`"
    return "[default names](metrics.md#what-a-model-without-metrics-calls-them)" if names(value) else "none"


def names(value: object) -> bool:
    return isinstance(value, dict) and set(value) == set(DEFAULT_METRICS)


def function_rows() -> Iterator[str]:
    yield "| function | what it returns |"
    yield "|---|---|"
    for name, signature in SIGNATURES.items():
        yield f"| `{signature}` | {RETURNS[name]} |"


def main() -> None:
    for path, content in render().items():
        path.write_text(content, encoding="utf-8")
        print(f"wrote {path.relative_to(PROJECT)}")


if __name__ == "__main__":
    main()
