"""axe-core, as the Python package of its Playwright bindings carries it."""

from importlib.resources import files
from typing import Any

from playwright.sync_api import Page

SOURCE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
STANDARD = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
RUN = "options => axe.run(document, options).then(found => found)"


def violations(page: Page, *rules: str) -> list[str]:
    """Return what axe finds against WCAG 2.2 AA, or against some of its rules alone."""
    if not page.evaluate("typeof axe !== 'undefined'"):
        page.evaluate(SOURCE)
    only = {"type": "rule", "values": list(rules)} if rules else {"type": "tag", "values": STANDARD}
    found: dict[str, Any] = page.evaluate(RUN, {"runOnly": only, "resultTypes": ["violations"]})
    assert found["passes"]
    return [
        f"{violation['id']}: {node['html'][:200]}"
        for violation in found["violations"]
        for node in violation["nodes"]
    ]
