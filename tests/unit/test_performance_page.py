"""docs/performance.md is written from the measurements, not by hand."""

import pytest

from bench.load import BenchError
from bench.overload import check_pace
from bench.report import overload, page
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


def test_the_section_on_overload_says_what_was_shed_and_what_was_not_sent() -> None:
    seen = {
        "offered": 4000,
        "answered": 900,
        "ceiling": 920,
        "p50": 0.01,
        "p99": None,
        "shed": 0.75,
        "unsent": 0.02,
    }
    machine = {"cores": 2, "processor": "", "memory_gib": 8, "system": "", "python": "", "libraries": {}}
    lines = list(overload({"measurements": [], "machine": machine, "curves": {"ours": [seen]}}))
    assert "| 4,000 | 900 | 920 | 10.00 ms |  | 75 % | 2 % |" in lines


def test_a_generator_that_is_late_measures_nothing() -> None:
    check_pace(1000, 0.01)
    with pytest.raises(BenchError, match="late at 1,000 requests a second"):
        check_pace(1000, 1.0)
