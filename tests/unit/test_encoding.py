import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundle.declaration import Declaration
from bundle.encoding import Encoder
from bundle.errors import InvalidRowsError
from bundle.features import no_boolean
from tests.harness import SAMPLE


def encoded(declaration: Declaration, **changes: Any) -> dict[str, float]:
    row = Encoder(declaration).encode([SAMPLE | changes])[0]
    return dict(zip(declaration.feature_names, row.tolist(), strict=True))


def rejected(declaration: Declaration, row: object) -> list[tuple[str, str]]:
    with pytest.raises(InvalidRowsError) as caught:
        Encoder(declaration).encode([row])
    return [(error.field, error.detail) for error in caught.value.errors]


def test_the_sample_is_encoded_in_declared_order_as_float32(declaration: Declaration) -> None:
    matrix = Encoder(declaration).encode([SAMPLE])
    assert matrix.dtype == np.float32
    assert matrix.tolist() == [[63, 1, 3, 145, 233, 1, 0, 150, 0, pytest.approx(2.3), 0, 0, 1]]


@pytest.mark.parametrize(
    ("field", "sent", "value"),
    [
        ("age", 63.0, 63),
        ("sex", "female", 0),
        ("sex", 1.0, 1),
        ("cp", "non-anginal pain", 2),
        ("fbs", "yes", 1),
        ("thal", "reversible defect", 3),
        ("oldpeak", 0, 0),
        ("chol", 1000, 1000),
    ],
)
def test_both_spellings_and_whole_floats_are_accepted(
    declaration: Declaration, field: str, sent: object, value: float
) -> None:
    assert encoded(declaration, **{field: sent})[field] == value


@pytest.mark.parametrize(("field", "sent"), [("ca", None), ("ca", 4), ("thal", None), ("thal", 0)])
def test_unknown_values_are_nan(declaration: Declaration, field: str, sent: object) -> None:
    assert math.isnan(encoded(declaration, **{field: sent})[field])


HOSTILE = [
    True,
    False,
    "63",
    "",
    [],
    {},
    [63],
    math.nan,
    math.inf,
    -math.inf,
    1e308,
    10**400,
    -(10**400),
    63.5,
]


@pytest.mark.parametrize("value", [*HOSTILE, None, 17, 121])
def test_anything_but_a_whole_number_in_range_is_rejected(declaration: Declaration, value: object) -> None:
    assert rejected(declaration, SAMPLE | {"age": value}) == [
        ("age", f"must be a whole number from 18 to 120 (years){no_boolean(value)}")
    ]


@pytest.mark.parametrize("value", [*HOSTILE, None, 2, -1, "Male", "f"])
def test_anything_but_a_category_is_rejected(declaration: Declaration, value: object) -> None:
    expected = "must be one of 0 (female), 1 (male), as a code or spelled out"
    assert rejected(declaration, SAMPLE | {"sex": value}) == [("sex", f"{expected}{no_boolean(value)}")]


@pytest.mark.parametrize("field", ["oldpeak", "ca"])
@pytest.mark.parametrize("value", [True, False, "1", [1]])
def test_a_boolean_or_string_is_not_a_number_even_where_it_would_fit(
    declaration: Declaration, field: str, value: object
) -> None:
    assert [name for name, _ in rejected(declaration, SAMPLE | {field: value})] == [field]


def test_an_undeclared_field_is_rejected(declaration: Declaration) -> None:
    assert rejected(declaration, SAMPLE | {"colour": "red"}) == [("colour", "is not a feature of this model")]


def test_every_fault_is_listed(declaration: Declaration) -> None:
    row = {name: value for name, value in SAMPLE.items() if name != "chol"} | {"age": "old", "colour": "red"}
    assert [field for field, _ in rejected(declaration, row)] == ["age", "chol", "colour"]


def test_faults_of_a_batch_carry_row_numbers_and_end_at_twenty(declaration: Declaration) -> None:
    with pytest.raises(InvalidRowsError) as caught:
        Encoder(declaration).encode([SAMPLE, SAMPLE | {"age": 0}, *([{}] * 1000)])
    rows = [error.row for error in caught.value.errors]
    assert rows[0] == 1
    assert len(rows) == 20


class CountedRow(dict[str, Any]):
    """A row that counts how many of its names were iterated over, and how many were looked up."""

    looked_at = asked_for = 0

    def __contains__(self, name: object) -> bool:
        self.asked_for += 1
        return super().__contains__(name)

    def __iter__(self) -> Iterator[str]:
        for name in super().__iter__():
            self.looked_at += 1
            yield name


MANY = {f"unheard_of_{number}": 1 for number in range(80_000)}


@pytest.mark.parametrize("name", ["sex", "age", "chol"])
def test_the_sentence_about_a_boolean_says_that_it_is_none(declaration: Declaration, name: str) -> None:
    encode = declaration.feature(name).encode
    with pytest.raises(ValueError, match=r", not a JSON boolean$"):
        encode(True)
    with pytest.raises(ValueError, match="must be") as caught:
        encode("true")
    assert "boolean" not in str(caught.value)


@pytest.mark.parametrize("known", [{}, SAMPLE, SAMPLE | {"age": 0}])
@pytest.mark.parametrize("batch", [False, True])
def test_no_more_unknown_names_are_checked_than_reported(
    declaration: Declaration, known: dict[str, Any], batch: bool
) -> None:
    row, encoder = CountedRow(known | MANY), Encoder(declaration)
    with pytest.raises(InvalidRowsError) as caught:
        encoder.encode([row] * 1000) if batch else encoder.encode_row(row)
    assert len(caught.value.errors) == 20
    assert row.looked_at <= len(known) + 20


def test_encoding_stops_at_the_last_reported_fault(declaration: Declaration) -> None:
    feature = declaration.feature("age")
    many = tuple(feature.model_copy(update={"name": f"age_{number}"}) for number in range(1000))
    wide = declaration.model_copy(update={"features": many})
    row = CountedRow(dict.fromkeys(wide.feature_names, "old"))
    assert [field for field, _ in rejected(wide, row)] == wide.feature_names[:20]
    assert row.asked_for == 20


def test_no_fault_repeats_a_value(declaration: Declaration) -> None:
    row = dict.fromkeys(SAMPLE, "secret-4711")
    assert "4711" not in str(rejected(declaration, row))


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=5,
)


@given(row=st.dictionaries(st.sampled_from([*SAMPLE, "other"]), JSON_VALUES) | JSON_VALUES)
def test_any_json_is_encoded_or_rejected(declaration: Declaration, row: object) -> None:
    try:
        matrix = Encoder(declaration).encode([SAMPLE | row if isinstance(row, dict) else row])
    except InvalidRowsError:
        return
    assert matrix.shape == (1, 13)
    assert not np.isinf(matrix).any()


NEAR_VALUES = st.sampled_from(
    [0, 1, 2, 3, 4, 0.5, 1.0, 63, 63.0, 150, "male", "normal", True, False, None, "1"]
)


@given(changes=st.dictionaries(st.sampled_from([*SAMPLE, "other"]), NEAR_VALUES | JSON_VALUES))
def test_the_fast_path_accepts_nothing_that_the_careful_path_rejects(
    declaration: Declaration, changes: dict[str, object]
) -> None:
    encoder = Encoder(declaration)
    row = SAMPLE | changes
    quick = encoder._quick(row)  # noqa: SLF001
    if quick is not None:
        np.testing.assert_array_equal(quick, encoder._careful(row))  # noqa: SLF001


def test_the_fast_path_accepts_usual_rows(declaration: Declaration) -> None:
    encoder = Encoder(declaration)
    for row in (SAMPLE, SAMPLE | {"sex": "male", "ca": None, "thal": 0, "age": 63.0}):
        assert encoder._quick(row) is not None  # noqa: SLF001


def test_a_model_of_one_feature_reads_its_value_whole(declaration: Declaration) -> None:
    (sex,) = [feature for feature in declaration.features if feature.name == "sex"]
    encoder = Encoder(declaration.model_copy(update={"features": (sex,), "example": {"sex": 1}}))
    assert encoder.encode_row({"sex": "male"}) == [1.0]
    with pytest.raises(InvalidRowsError):
        encoder.encode_row({"sex": "males"})


@given(changes=st.lists(st.dictionaries(st.sampled_from(list(SAMPLE)), NEAR_VALUES), min_size=1, max_size=4))
def test_columns_are_encoded_like_rows(declaration: Declaration, changes: list[dict[str, object]]) -> None:
    encoder = Encoder(declaration)
    rows = [SAMPLE | change for change in changes]
    matrix = encoder._by_column(rows)  # noqa: SLF001
    if matrix is not None:
        by_row = np.array([encoder._careful(row) for row in rows], dtype=np.float32)  # noqa: SLF001
        np.testing.assert_array_equal(matrix, by_row)


def test_usual_rows_are_encoded_by_column(declaration: Declaration) -> None:
    rows = [SAMPLE, SAMPLE | {"sex": "male", "ca": None, "thal": 0, "age": 63.0}]
    assert Encoder(declaration)._by_column(rows) is not None  # noqa: SLF001


def unlimited(declaration: Declaration, **changes: Any) -> Encoder:
    """Return an encoder whose numbers have no declared range."""
    content = declaration.model_dump()
    for feature in content["features"]:
        if feature["type"] != "category":
            feature.update({"range": None} | changes)
    return Encoder(Declaration.model_validate(content))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("chol", -(2**24)),
        ("chol", 2**24),
        ("chol", 2.0**24),
        ("oldpeak", 1e15),
        ("oldpeak", -1e15),
    ],
)
def test_without_a_range_any_number_is_accepted_that_the_matrix_holds(
    declaration: Declaration, field: str, value: float
) -> None:
    encoder, row = unlimited(declaration, missing_codes=()), SAMPLE | {field: value}
    quick, index = encoder._quick(row), declaration.feature_names.index(field)  # noqa: SLF001
    assert quick is not None
    assert quick[index] == encoder._careful(row)[index] == value  # noqa: SLF001
    assert encoder.encode([row, row])[:, index].tolist() == [np.float32(value)] * 2


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("chol", 2**24 + 1, "must be a whole number from -16777216 to 16777216 (mg/dl)"),
        ("chol", -1e300, "must be a whole number from -16777216 to 16777216 (mg/dl)"),
        ("chol", 233.5, "must be a whole number (mg/dl)"),
        ("oldpeak", 1.1e15, "must be a number from -1e+15 to 1e+15 (mm)"),
        ("oldpeak", math.inf, "must be a number from -1e+15 to 1e+15 (mm)"),
        ("oldpeak", math.nan, "must be a number from -1e+15 to 1e+15 (mm)"),
        ("oldpeak", "2.3", "must be a number (mm)"),
        (
            "ca",
            2**25,
            "must be a whole number from -16777216 to 16777216 (vessels), or null or 4 where it is unknown",
        ),
    ],
)
def test_without_a_range_other_values_are_rejected_with_what_is_accepted(
    declaration: Declaration, field: str, value: object, sentence: str
) -> None:
    encoder, row = unlimited(declaration), SAMPLE | {field: value}
    with pytest.raises(InvalidRowsError) as caught:
        encoder.encode([row])
    assert [(error.field, error.detail) for error in caught.value.errors] == [(field, sentence)]


def test_a_missing_code_is_missing_without_a_range_too(declaration: Declaration) -> None:
    encoder, index = unlimited(declaration), declaration.feature_names.index("ca")
    values: list[object] = [4, 5, None, 4.0]
    rows = [SAMPLE | {"ca": value} for value in values]
    assert [math.isnan(encoder.encode_row(row)[index]) for row in rows] == [True, False, True, True]
    assert np.isnan(encoder.encode(rows)[:, index]).tolist() == [True, False, True, True]


def test_a_number_without_a_unit_is_described_without_one(declaration: Declaration) -> None:
    with pytest.raises(InvalidRowsError) as caught:
        unlimited(declaration, unit="").encode([SAMPLE | {"chol": "x", "ca": "x"}])
    assert [error.detail for error in caught.value.errors] == [
        "must be a whole number",
        "must be a whole number, or null or 4 where it is unknown",
    ]
