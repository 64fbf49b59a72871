"""The console's words about a value, and the tables that people paste."""

from pathlib import Path

import pytest

from bundle.declaration import Declaration, TableFormat, load_declaration
from bundle.features import CategoryFeature, Feature, NumberFeature
from serving.console.fields import form_state, in_a_form, typed_row
from serving.console.results import percent
from serving.console.tables import read_table
from serving.errors import ValidationError
from tests.systems import MODELS

HEIGHT = NumberFeature(
    name="height", column="Größe (cm)", description="Height", type="number", unit="cm", nullable=True,
    missing_codes=(-9,), range=(50, 250), other_units={"m": 100},
)  # fmt: skip
SMOKER = CategoryFeature(
    name="smoker", column="Raucher", description="Smoker", type="category", codes={"nein": 0, "ja": 1}
)
SPELLED = SMOKER.model_copy(update={"nullable": True})


@pytest.mark.parametrize(
    ("feature", "value", "unit", "words"),
    [
        (HEIGHT, "1,72", "m", "must be a number from 0.5 to 2.5 (m), or unknown, with a decimal point: 1.72"),
        (
            HEIGHT,
            "172,5",
            "cm",
            "must be a number from 50 to 250 (cm), or unknown, with a decimal point: 172.5",
        ),
        (HEIGHT, "3", "m", "must be a number from 0.5 to 2.5 (m), or unknown"),
        (HEIGHT, "tall", "cm", "must be a number from 50 to 250 (cm), or unknown"),
        (HEIGHT, "1,541,90", "cm", "must be a number from 50 to 250 (cm), or unknown"),
        (SMOKER, "2", "", "must be one of 0 (nein), 1 (ja), as a code or spelled out"),
        (SPELLED, "2", "", "must be one of 0 (nein), 1 (ja), as a code or spelled out, or unknown"),
    ],
)
def test_a_form_says_what_can_be_typed(feature: Feature, value: str, unit: str, words: str) -> None:
    typed = {f"value.{feature.name}": value, f"unit.{feature.name}": unit}
    with pytest.raises(ValueError, match="must be") as caught:
        feature.encode(typed_row(declared(feature), typed)[feature.name])
    assert in_a_form(feature, str(caught.value), typed) == words


def test_what_is_missing_stays_so() -> None:
    assert in_a_form(HEIGHT, "is missing", {"unit.height": "m"}) == "is missing"


def declared(*features: Feature, decimal: str = ".") -> Declaration:
    table = TableFormat.model_validate({"separator": ";", "decimal": decimal, "missing": ("k. A.",)})
    iris = load_declaration(Path(MODELS) / "iris")
    return iris.model_copy(update={"features": features, "table": table})


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("5", "half", 3),
        ("7", "half", 4),
        ("-5", "half", -2),
        ("6", "st", 38),
        ("6", "lb", "6"),
        ("1e308", "st", "1e308"),
        ("-1e308", "st", "-1e308"),
        ("1e400", "kg", "1e400"),
    ],
)
def test_a_whole_number_in_another_unit_is_rounded_and_in_no_unit_stays_text(
    text: str, unit: str, value: object
) -> None:
    weight = NumberFeature(
        name="weight", column="weight", description="Weight", type="integer", unit="kg",
        other_units={"st": 6.35, "half": 0.5},
    )  # fmt: skip
    typed = {"value.weight": text, "unit.weight": unit}
    assert typed_row(declared(weight), typed) == {"weight": value}


@pytest.mark.parametrize(
    ("share", "threshold", "text"),
    [
        (0.371899, 0.5, "37.2"),
        (0.4999, 0.5, "49.99"),
        (0.5, 0.5, "50.0"),
        (0.50004, 0.5, "50.004"),
        (0.999996, 0.5, "99.9996"),
        (0.0001, 0.5, "0.01"),
        (1.0, 0.5, "100.0"),
        (0.0, 0.5, "0.0"),
        (0.33335, 0.333333, "33.34"),
    ],
)
def test_a_percentage_is_on_its_side_of_the_threshold(share: float, threshold: float, text: str) -> None:
    assert percent(share, threshold) == text


def test_a_row_of_empty_cells_keeps_its_number() -> None:
    expected = [
        {"height": 1, "smoker": "ja"},
        {"height": None, "smoker": None},
        {"height": 2, "smoker": "ja"},
    ]
    text = "\ufeff;\r\nheight;smoker\r\n1;ja\r\n\r\n;\r\n2;ja\r\n;\r\n  \r\n"
    assert read_table(text, declared(HEIGHT, SMOKER)) == expected
    assert read_table(text, declared(HEIGHT, SPELLED)) == [*expected, expected[1]]


def test_a_column_without_a_name_is_said_by_its_number() -> None:
    with pytest.raises(ValidationError, match="Column 2 of the table has no name"):
        read_table("height;;smoker\n1;;2", declared(HEIGHT, SMOKER))


def test_a_category_may_have_two_lines_whatever_ends_them() -> None:
    lines = SMOKER.model_copy(update={"codes": {"yes,\nno": 1}})
    assert read_table('height,smoker\r\n1,"yes,\r\nno"', declared(HEIGHT, lines)) == [
        {"height": 1, "smoker": "yes,\nno"}
    ]


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"codes": {"ja": 1, "nein": 0}}, False),
        ({"codes": {"nein": 0, "ja": 1, "ex": 2}}, False),
        ({"codes": {"nein": 5, "ja": 6}}, True),
        ({"description": "Smokes"}, True),
    ],
)
def test_a_form_is_stale_where_its_options_mean_something_else(change: dict[str, object], same: bool) -> None:
    other = declared(HEIGHT, CategoryFeature.model_validate(SMOKER.model_dump() | change))
    assert (form_state(other) == form_state(declared(HEIGHT, SMOKER))) is same
    metric = HEIGHT.model_copy(update={"other_units": {"m": 10}})
    assert form_state(declared(metric, SMOKER)) != form_state(declared(HEIGHT, SMOKER))


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("height;smoker\n172,5;ja", {"height": 172.5, "smoker": "ja"}),
        ("Größe (cm);Raucher\n172,5;nein", {"height": 172.5, "smoker": "nein"}),
        ("Größe (cm);Raucher\n172.5;1", {"height": 172.5, "smoker": 1}),
        ("Raucher\tGröße (cm)\nja\tk. A.", {"smoker": "ja", "height": None}),
        ('Größe (cm),smoker\n"172,5",ja', {"height": 172.5, "smoker": "ja"}),
        ("height;smoker\n1.541,90;0,5", {"height": "1.541,90", "smoker": "0,5"}),
    ],
)
def test_a_table_may_be_written_as_the_training_table(text: str, row: dict[str, object]) -> None:
    assert read_table(text, declared(HEIGHT, SMOKER, decimal=",")) == [row]


def test_a_comma_is_no_decimal_sign_where_the_training_table_has_a_point() -> None:
    assert read_table("height;smoker\n172,5;ja", declared(HEIGHT, SMOKER))[0]["height"] == "172,5"


def test_a_feature_may_not_have_two_columns() -> None:
    with pytest.raises(ValidationError, match="same name"):
        read_table("height;Größe (cm)\n1;2", declared(HEIGHT, SMOKER))


def test_the_name_of_a_feature_comes_before_that_of_anothers_column() -> None:
    other = HEIGHT.model_copy(update={"name": "length", "column": "height"})
    assert read_table("height\n1", declared(HEIGHT, other)) == [{"height": 1}]
