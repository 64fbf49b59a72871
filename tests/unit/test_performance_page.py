"""docs/performance.md is what was measured, and nothing typed by hand."""

import pytest

from bench.report import page
from bench.results import Figure
from tests.harness import PROJECT


def test_the_page_is_written_from_the_measurements() -> None:
    written = (PROJECT / "docs" / "performance.md").read_text(encoding="utf-8")
    assert written == page(), "run `python -m bench report`"


@pytest.mark.parametrize(
    ("value", "goal", "met"),
    [
        (2.5, "at most 2.5", True),
        (2.6, "at most 2.5", False),
        (1, "", None),
        (149_999, "at least 150,000", False),
    ],
)
def test_a_goal_is_met_or_missed(value: float, goal: str, met: bool | None) -> None:
    assert Figure("it", value, "x", value, value, goal).met is met
