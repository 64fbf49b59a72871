"""docs/performance.md is written from the measurements, not by hand."""

import pytest

from bench.report import page
from bench.results import Measurement
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
    assert Measurement("ratio", value, "x", value, value, goal).met is met


@pytest.mark.parametrize(("low", "high", "met"), [(-54, 22, None), (0.1, 22, False), (-54, -1, True)])
def test_a_difference_below_its_noise_neither_meets_nor_misses_a_goal(
    low: float, high: float, met: bool | None
) -> None:
    share = Measurement("share", (low + high) / 2, "%", low, high, "at most 6", difference=True)
    assert share.met is met
    assert share.measurable is (met is not None)
