"""Tables of docs/metrics.md, docs/models.md and the chart's README.md are those that the code gives."""

import re

import pytest
from pydantic import BaseModel

from bundle.declaration import (
    ClassDeclaration,
    Declaration,
    Group,
    Routes,
    TableFormat,
    VersionDeclaration,
)
from bundle.features import CategoryFeature, Declared, NumberFeature
from bundle.metric_names import MetricName
from tests.harness import PROJECT
from tools import reference
from tools.reference import member_rows, render, replaced, value_rows

PARTS: dict[str, tuple[type[BaseModel], ...]] = {
    "": (Declaration,),
    "classes.": (ClassDeclaration,),
    "table.": (TableFormat,),
    "versions.": (VersionDeclaration,),
    "features.": (NumberFeature, CategoryFeature),
    "groups.": (Group,),
    "routes.": (Routes,),
    "metrics.": (MetricName,),
}


@pytest.mark.parametrize(
    "page", ["docs/metrics.md", "docs/models.md", "helm-charts/heart-disease-api/README.md"]
)
def test_a_page_has_the_tables_of_the_code(page: str) -> None:
    assert (PROJECT / page).read_text(encoding="utf-8") == render()[PROJECT / page]


def test_a_page_without_markers_is_not_written() -> None:
    with pytest.raises(ValueError, match=r"needs the lines '<!-- concepts: written by `make reference` -->'"):
        replaced("no markers", "concepts", [])


def test_a_comment_is_that_of_the_value_under_it_whatever_its_name() -> None:
    limits = "limits:\n  # Memory of a run\n  memory: 2Gi\n  # Disk of a run\n  ephemeral-storage: 1Gi\n"
    text = f"{limits}service: {{port: 80}}\n"
    assert list(value_rows(text))[2:] == [
        '| `limits.memory` | `"2Gi"` | Memory of a run |',
        '| `limits.ephemeral-storage` | `"1Gi"` | Disk of a run |',
    ]


def test_every_member_of_model_toml_has_a_row_and_nothing_else() -> None:
    rows = [re.match(r"\| `([^`]*)` \|", row) for row in member_rows()]
    documented = [found[1] for found in rows if found]
    declared = {
        f"{part}{name}" for part, kinds in PARTS.items() for kind in kinds for name in kind.model_fields
    }
    assert len(documented) == len(set(documented))
    assert set(documented) == declared


def test_a_member_without_a_docstring_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Undocumented(Declared):
        described: int
        """this one is"""
        silent: int

    monkeypatch.setattr(reference, "Declaration", Undocumented)
    with pytest.raises(ValueError, match=r"silent of model\.toml needs a docstring"):
        list(member_rows())
