"""docs/metrics.md: its tables of concepts, between markers, from the table that the server measures by."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from bundle.concepts import CONCEPTS, MODEL, Concept
from bundle.metric_names import DEFAULT_METRICS

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "metrics.md"


def reference() -> str:
    """Return the page with its tables brought up to date."""
    page = PAGE.read_text(encoding="utf-8")
    page = replaced(replaced(page, "concepts", concept_rows()), "common names", common_rows())
    return replaced(page, "default names", default_rows())


def replaced(page: str, name: str, lines: Iterable[str]) -> str:
    """Return the page with these lines between the markers of a name; ValueError where it has none."""
    begin, end = f"<!-- {name}: written by `make dashboards` -->", f"<!-- end of {name} -->"
    table = "\n".join([begin, "", *lines, "", end])
    changed, number = re.subn(f"(?s){re.escape(begin)}.*{re.escape(end)}", lambda _: table, page)
    if number != 1:
        raise ValueError(f"{PAGE} needs the lines '{begin}' and '{end}' once each")
    return changed


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
