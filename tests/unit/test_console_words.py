"""The console's words about a value, and the tables that people paste."""

from pathlib import Path

import pytest

from bundle.declaration import Declaration, TableFormat, load_declaration
from bundle.features import CategoryFeature, Feature, NumberFeature
from serving.console.fields import in_a_form, typed_row
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
