"""GET /models/{name}/card, and the CARD.md that says the same."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.harness import Server, problem
from tests.systems import System


class Elements(HTMLParser):
    """The elements of a page, what they refer to, and their names."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.references: list[str] = []
        self.names: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            assert not name.startswith("on"), f"{tag} has a handler {name}"
            if name in ("src", "href", "xlink:href"):
                self.references.append(value or "")
            if name == "id":
                self.names.append(value or "")


def test_the_card_is_a_page_that_loads_nothing(server: Server, system: System) -> None:
    answer = server.get(f"/models/{system.name}/card")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    page = Elements(answer.text)
    assert not page.tags & {"script", "link", "iframe", "img", "object"}
    assert {"svg", "table", "h1"} <= page.tags
    assert all(reference.startswith("#") for reference in page.references)
    assert len(set(page.names)) == len(page.names)
    assert set(page.references) <= {f"#{name}" for name in page.names}
    clips = re.findall(r"url\(#([^)]+)\)", answer.text)
    assert clips
    assert set(clips) <= set(page.names)


def test_the_card_agrees_with_the_repositorys(server: Server, system: System) -> None:
    page = re.sub(r"<[^>]+>", "", server.get(f"/models/{system.name}/card").text)
    text = (system.folder / "CARD.md").read_text(encoding="utf-8")
    for heading in ("Intended use", "Limits", "Elsewhere", "Licence of the data"):
        said = re.search(rf"\*\*{heading}\.\*\* (.+)", text)
        assert said, heading
        assert said[1].split(".")[0].replace("'", "&#x27;").split("&#x27;")[0] in page
    for estimate in system.manifest.evaluation.metrics.values():
        assert f"{estimate.lower:.3f} to {estimate.upper:.3f}" in page
    for plot in re.findall(r"\]\((.+\.svg)\)", text):
        content = (system.folder / plot).read_text(encoding="utf-8")
        assert "<svg" in content
        assert "<script" not in content


@pytest.mark.heart
def test_the_heart_card_warns_and_compares_thresholds(server: Server) -> None:
    page = server.get("/models/heart-disease/card").text
    for said in (
        "not for screening",
        "Budapest",
        "sex: female",
        "age: 60 and over",
        "0.167",
        "5 false positives",
    ):
        assert said in page


def test_missing_cards_are_not_found(server: Server, system: System) -> None:
    assert server.get(f"/models/{system.name}/card?version={system.version}").status_code == 200
    problem(server.get("/models/nobody/card"), 404, "NotFound")
    missing = problem(server.get(f"/models/{system.name}/card?version=v9"), 404, "NotFound")
    assert system.version in missing["detail"]


def test_each_version_has_its_own_card() -> None:
    system = System("churn")
    cards = [Path(system.folder / version / "card.html").read_text("utf-8") for version in ("v1", "v2")]
    assert "v1: logistic_regression" in cards[0]
    assert "v2: gradient_boosting" not in cards[0]
    assert "v2: gradient_boosting" in cards[1]
