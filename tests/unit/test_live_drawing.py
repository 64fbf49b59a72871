"""How panels are drawn: numbers with units, round axes, paths through values, tables of the same values."""

import re
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import pytest

from bundle.declaration import load_declaration
from monitoring.panels.expressions import Selector
from monitoring.panels.panel import Kind, Panel, Query, panel
from monitoring.panels.scope import Window
from serving.console.live.axes import TimeAxis, value_axis
from serving.console.live.chosen import Served, panels_of, scope_of
from serving.console.live.drawing import HEIGHT, WIDTH, colour_of, line_chart
from serving.console.live.figures import bar_groups, figures, ring, shown_alerts
from serving.console.live.heatmap import bucket_names, heatmap
from serving.console.live.page import ALL_MODELS, ALL_VERSIONS, NO_ALERTS, shown_panel, shown_sections
from serving.console.live.readings import Alert, Bar, Line, Live, Reading, Section
from serving.console.live.shaping import NO_DATA, shaped
from serving.console.live.tables import MOST_MOMENTS
from serving.console.live.units import written, written_tick
from serving.console.rendering import Renderer
from tests.harness import HEART, PROJECT

BEGIN, END = 1_700_000_100.0, 1_700_003_700.0
OF_PANEL = ("steps", "words", "runbook", "explained_by")
STEPS = ((None, "red"), (0.9, "yellow"), (0.995, "green"))


def reading(kind: Kind, *lines: Line, unit: str = "none", **changes: Any) -> Reading:
    of_panel = {name: changes.pop(name) for name in OF_PANEL if name in changes}
    panel = Panel("key", "Title", "Description.", unit, kind, **of_panel)
    return Reading(panel, BEGIN, END, lines, **changes)


def line(*values: float, name: str = "a", distance: float = 60) -> Line:
    return Line(name, tuple((BEGIN + distance * number, value) for number, value in enumerate(values)))


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "s", "0 s"),
        (0.00000042, "s", "420 ns"),
        (0.0021234, "s", "2.12 ms"),
        (0.99996, "s", "1 s"),
        (90, "s", "1.5 min"),
        (7200, "s", "2 hour"),
        (0.12345, "percentunit", "12.3%"),
        (1, "percentunit", "100%"),
        (0, "percentunit", "0%"),
        (0.457, "reqps", "0.457 req/s"),
        (12345, "reqps", "12.3K req/s"),
        (3, "cps", "3 c/s"),
        (999.9, "short", "1 K"),
        (1234567, "short", "1.23 Mil"),
        (12, "short", "12"),
        (3 * 1024**2, "bytes", "3 MiB"),
        (12345.6, "none", "12346"),
        (-0.25, "none", "-0.25"),
        (1e-15, "none", "0"),
        (5, "apples", "5 apples"),
    ],
)
def test_values_have_grafanas_units(value: float, unit: str, text: str) -> None:
    assert written(value, unit) == text


@pytest.mark.parametrize(
    ("value", "step", "unit", "text"),
    [
        (0, 0.005, "s", "0 ms"),
        (0.01, 0.005, "s", "10 ms"),
        (0.2, 0.05, "none", "0.20"),
        (20, 5, "cps", "20 c/s"),
    ],
)
def test_ticks_have_the_decimals_of_their_distance(value: float, step: float, unit: str, text: str) -> None:
    assert written_tick(value, step, unit) == text


@pytest.mark.parametrize(
    ("low", "high", "texts"),
    [
        (0.1, 18.2, ["0", "5", "10", "15", "20"]),
        (0, 0, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (-3, 4, ["-4", "-2", "0", "2", "4"]),
        (0, 0.3, ["0.0", "0.1", "0.2", "0.3"]),
    ],
)
def test_an_axis_has_round_values_and_zero(low: float, high: float, texts: list[str]) -> None:
    axis = value_axis(low, high, "none")
    assert [tick.text for tick in axis.ticks] == texts
    assert axis.ticks[0].position == 100
    assert axis.ticks[-1].position == 0


def test_times_are_round_and_in_their_place() -> None:
    ticks = TimeAxis(BEGIN, END).ticks
    assert [tick.text for tick in ticks] == ["22:15", "22:30", "22:45", "23:00", "23:15"]
    assert all(tick.time is not None and tick.time % 900 == 0 for tick in ticks)
    assert [round(tick.position, 2) for tick in ticks] == [0, 25, 50, 75, 100]


def test_a_path_goes_through_its_values() -> None:
    (curve,) = line_chart(reading(Kind.LINES, line(0, 5, 10))).curves
    assert curve.path == f"M0 {HEIGHT}L16.7 {HEIGHT / 2:g}L33.3 0"
    assert curve.area == f"{curve.path}V{HEIGHT}H0Z"
    assert (curve.last, curve.largest) == (10, 10)


def test_a_missing_value_interrupts_the_line_and_a_lonely_one_is_a_dot() -> None:
    points = ((BEGIN, 1.0), (BEGIN + 60, 1.0), (BEGIN + 120, 1.0), (BEGIN + 600, 1.0))
    (curve,) = line_chart(reading(Kind.LINES, Line("a", points))).curves
    assert curve.path == "M0 0L16.7 0L33.3 0M166.7 0h0"
    assert curve.area.count("Z") == 1


def test_where_there_are_thresholds_they_are_drawn_and_the_highest_value_comes_first() -> None:
    steps = ((None, "green"), (0.1, "yellow"), (0.25, "red"))
    lines = (line(0.01, name="low"), line(0.3, 0.2, name="high"))
    chart = line_chart(reading(Kind.LINES, *lines, steps=steps))
    assert [(curve.name, curve.colour, curve.style) for curve in chart.curves] == [
        ("high", "yellow", 1),
        ("low", "green", 0),
    ]
    assert [(bound.text, bound.colour) for bound in chart.thresholds] == [("0.1", "yellow"), ("0.25", "red")]
    assert [round(bound.position, 1) for bound in chart.thresholds] == [66.7, 16.7]
    alone = line_chart(reading(Kind.LINES, *lines))
    assert [(curve.name, curve.colour) for curve in alone.curves] == [("low", None), ("high", None)]


@pytest.mark.parametrize(("chance", "colour"), [({"a": 0.29}, "red"), ({"a": 0.3}, "green"), ({}, "green")])
def test_what_chance_explains_has_the_lowest_colour(chance: dict[str, float], colour: str) -> None:
    steps = ((None, "green"), (0.1, "yellow"), (0.25, "red"))
    drawn = reading(Kind.LINES, line(0.3), steps=steps, explained_by=Selector("chance"), explained=chance)
    assert [curve.colour for curve in line_chart(drawn).curves] == [colour]


@pytest.mark.parametrize(("value", "colour"), [(0, "red"), (0.9, "yellow"), (0.994, "yellow"), (1, "green")])
def test_a_value_has_the_colour_of_the_bound_that_it_reaches(value: float, colour: str) -> None:
    assert colour_of(value, STEPS) == colour


def test_a_status_is_a_word_and_a_share_fills_its_dial() -> None:
    words = {"0": "unavailable", "1": "loaded"}
    status = reading(Kind.STATUS, line(1), steps=((None, "red"), (1, "green")), words=words)
    assert [(figure.text, figure.colour) for figure in figures(status)] == [("loaded", "green")]
    share = reading(Kind.SHARE, line(0.96), unit="percentunit", steps=STEPS)
    (figure,) = figures(share)
    assert (figure.text, figure.colour, figure.filled) == ("96%", "yellow", 96)
    arcs = [(arc.begin, arc.length, arc.colour) for arc in ring(share.panel)]
    assert arcs == [(0, 90, "red"), (90, 9.5, "yellow"), (99.5, 0.5, "green")]


def test_cells_are_darker_where_more_fell_and_empty_ones_are_not_drawn() -> None:
    lines = (line(0, 6, name="0.5"), line(3, 0, name="1.0"))
    drawn = heatmap(reading(Kind.HEATMAP, *lines))
    assert [(level.shade, level.path) for level in drawn.levels] == [
        (3, f"M0.0 0.0H0.0v{HEIGHT / 2:.1f}H0.0z"),
        (6, f"M0.0 100.0H{WIDTH / 60:.1f}v{HEIGHT / 2:.1f}H0.0z"),
    ]
    assert drawn.largest == "6"
    assert [tick.position for tick in drawn.values] == [75, 25]
    assert bucket_names(["0.5", "1.0", "+Inf"]) == ["up to 0.5", "0.5 to 1.0", "above 1.0"]


def test_many_cells_of_one_row_are_one_rectangle() -> None:
    lines = (line(*([2] * 240), name="1.0", distance=15),)
    (level,) = heatmap(reading(Kind.HEATMAP, *lines)).levels
    assert level.path.count("M") == 1


def test_bars_of_a_group_share_a_scale() -> None:
    bars = (Bar("low", {"live": 0.2, "training": 0.1}), Bar("high", {"training": 0.4}))
    low, high = bar_groups(reading(Kind.BARS, unit="percentunit", bars=bars))
    assert [(length.text, length.percent) for length in low.lengths] == [("20%", "50.00%"), ("10%", "25.00%")]
    assert [(length.text, length.percent) for length in high.lengths] == [
        ("no data", "0.00%"),
        ("40%", "100.00%"),
    ]


def test_firing_and_critical_alerts_come_first() -> None:
    alerts = [
        Alert("C", "warning", "pending", {}, None),
        Alert("B", "warning", "firing", {"feature": "age", "job": "x", "model_version": "v1"}, BEGIN),
        Alert("A", "critical", "firing", {}, BEGIN),
    ]
    shown = shown_alerts(alerts)
    assert [listed.alert.name for listed in shown] == ["A", "B", "C"]
    assert [listed.about for listed in shown] == ["", "feature age, model version v1", ""]
    assert [listed.since for listed in shown] == ["22:15:00", "22:15:00", ""]


@pytest.mark.parametrize(
    ("shown", "says"),
    [
        (reading(Kind.LINES), NO_DATA),
        (reading(Kind.LINES, Line("a", ())), NO_DATA),
        (reading(Kind.BARS), NO_DATA),
        (reading(Kind.NUMBER), NO_DATA),
        (reading(Kind.ALERTS), NO_ALERTS),
        (reading(Kind.LINES, line(1), says="needs Prometheus"), "needs Prometheus"),
    ],
)
def test_a_panel_without_data_says_so(shown: Reading, says: str) -> None:
    assert shown_panel(shown).says == says


def test_what_finds_nothing_says_so_and_leaves_nothing_out() -> None:
    found = shaped(reading(Kind.LINES).panel, BEGIN, END, [])
    assert (found.says, found.note) == (NO_DATA, None)


@pytest.mark.parametrize(
    ("shown", "says"),
    [
        ([{"says": "Only Prometheus knows."}, {"says": "Only Prometheus knows."}], "Only Prometheus knows."),
        ([{"says": "Only Prometheus knows."}], None),
        ([{"says": "Only Prometheus knows."}, {"says": "There are too few rows."}], None),
        ([{"says": "Only Prometheus knows."}, {}], None),
        ([{}, {}], None),
    ],
)
def test_what_each_panel_of_a_section_would_say_is_said_once(
    shown: list[dict[str, str]], says: str | None
) -> None:
    readings = tuple(reading(Kind.NUMBER, line(1), **what) for what in shown)
    (section,) = shown_sections(Live("a test", None, (Section("Objectives", readings),)))
    assert section.says == says
    assert section.titles == ("Title",) * len(shown)


@pytest.mark.parametrize(
    ("kinds", "alone"),
    [
        ((Kind.ALERTS,), True),
        ((Kind.NUMBER, Kind.NUMBER, Kind.LINES), False),
        ((Kind.NUMBER, Kind.NUMBER, Kind.LINES, Kind.LINES), True),
        ((Kind.LINES, Kind.BARS), False),
        ((Kind.LINES, Kind.BARS, Kind.NUMBER), False),
    ],
)
def test_a_panel_that_stands_alone_has_the_whole_width(kinds: tuple[Kind, ...], alone: bool) -> None:
    section = Section("Title", tuple(reading(kind, says="Nothing.") for kind in kinds))
    (shown,) = shown_sections(Live("a test", None, (section,)))
    assert shown.alone is (shown.panels[-1] if alone else None)


@pytest.mark.parametrize(
    ("title", "expression", "version", "several", "of"),
    [
        ("Traffic", "requests", None, True, ALL_MODELS),
        ("Traffic", "requests", None, False, None),
        ("Objectives", 'spent{model_version="v2"}', "v2", True, ALL_MODELS),
        ("Model", "predictions", None, True, None),
        ("Model", "predictions", "v2", True, ALL_VERSIONS),
        ("Model", 'predictions{version="v2"}', "v2", True, None),
    ],
)
def test_a_section_says_whose_values_it_has(
    title: str, expression: str, version: str | None, several: bool, of: str | None
) -> None:
    made = panel(Kind.NUMBER, "Title", "Text.", "short", Query(Selector(expression)))
    section = Section(title, (Reading(made, BEGIN, END, (line(1),)),))
    (shown,) = shown_sections(Live("a test", None, (section,)), version, several=several)
    assert shown.of == of


def test_a_table_has_the_newest_first_and_not_all_of_many() -> None:
    lines = (line(*range(240), name="a", distance=15), line(7, name="b"))
    table = shown_panel(reading(Kind.LINES, *lines)).table
    assert table is not None
    assert len(table.moments) == MOST_MOMENTS
    assert table.left_out == 240 - MOST_MOMENTS
    assert table.moments[0].time == BEGIN + 15 * 239
    assert [cell and cell.value for cell in table.moments[0].cells] == [239, None]
    assert all(later.time - earlier.time == 15 * 15 for earlier, later in pairwise(reversed(table.moments)))


KINDS: dict[Kind, dict[str, Any]] = {
    Kind.LINES: {"lines": (line(1, 2),), "steps": STEPS},
    Kind.HEATMAP: {"lines": (line(1, 2, name="0.5"), line(1, 2, name="+Inf"))},
    Kind.NUMBER: {"lines": (line(1234),), "unit": "short"},
    Kind.STATUS: {"lines": (line(1),), "words": {"1": "loaded"}, "steps": STEPS},
    Kind.SHARE: {"lines": (line(0.5),), "steps": STEPS, "unit": "percentunit"},
    Kind.BARS: {"bars": (Bar("<b>", {"<i>": 0.5, "b": 0.25}),)},
    Kind.ALERTS: {"alerts": (Alert("<b>", "critical", "firing", {"x": "<i>"}, BEGIN),)},
}


class Elements(HTMLParser):
    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.values: list[str | None] = []
        self.text = ""
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self.values += [value for name, value in attrs if (tag, name) == ("data", "value")]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_drawn_with_its_values_in_text_and_without_styles(kind: Kind) -> None:
    given = dict(KINDS[kind])
    lines = given.pop("lines", ())
    shown = shown_panel(reading(kind, *lines, runbook="FeatureDrift", **given))
    page = drawn(shown)
    assert "style" not in [name for name, _ in page.attributes]
    assert ("href", "../runbooks/FeatureDrift") in page.attributes
    assert not {"b", "i"} & set(page.tags)
    values = {float(value or "nan") for value in page.values}
    assert values >= {of.points[-1][1] for of in lines}
    if kind in (Kind.LINES, Kind.HEATMAP, Kind.BARS, Kind.ALERTS):
        assert "table" in page.tags


def test_what_is_left_out_is_said() -> None:
    shown = shown_panel(reading(Kind.LINES, line(1, 2), note="This is 1 of 15."))
    assert "This is 1 of 15." in drawn(shown).text


def test_the_alert_of_a_hostile_name_stays_a_runbooks_address() -> None:
    alert = Alert('../"><script>', "warning", "firing", {}, None)
    page = drawn(shown_panel(reading(Kind.ALERTS, alerts=(alert,))))
    assert ("href", "../runbooks/..%2F%22%3E%3Cscript%3E") in page.attributes
    assert "script" not in page.tags


def test_a_page_links_to_runbooks_and_names_no_file() -> None:
    served = Served(load_declaration(HEART), tries_candidate=True, takes_outcomes=True)
    scope = scope_of({}, (), "1m", 15, Window("1h", "an hour"))
    panels = [made for _, section in panels_of(served, served.main, scope) for made in section]
    assert {name for made in panels for name in made.runbooks} >= {"PredictionErrorsSlowBurn", "FeatureDrift"}
    for made in panels:
        links = {f"../runbooks/{name}" for name in made.runbooks}
        page = drawn(shown_panel(Reading(made, BEGIN, END, says="Nothing.")))
        assert {value for name, value in page.attributes if name == "href"} == links, made.title
        assert not re.search(r"monitoring/|docs/|[.]md|[`*_]", made.description), made.title
        assert all((PROJECT / "monitoring" / "runbooks" / f"{name}.md").is_file() for name in made.runbooks)


def drawn(shown: Any) -> Elements:
    template = Renderer("0")._environment.from_string(  # noqa: SLF001
        '{% import "panels.html" as panels %}{{ panels.panel(shown, "../", [], none) }}'
    )
    content = template.render(shown=shown)
    assert not re.search(r"\bNone\b", content)
    return Elements(content)
