"""Types of features: what each accepts, in JSON, in tables and in forms, and that all encode it alike."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.drift import stability_index
from bundle.bins import MISSING, Bins, category_bins, feature_bins
from bundle.declaration import Declaration, TableFormat, read_declaration
from bundle.distributions import CategoryDistribution
from bundle.encoding import Encoder, Matrix
from bundle.errors import InvalidRowsError
from bundle.features import UNLISTED, BooleanFeature, CategoryFeature
from bundle.manifest import sha256
from serving.console import tables
from serving.console.fields import VALUE, form_fields, read_value, typed_from, typed_row
from serving.http.schemas import feature_schema
from serving.inference.catalogue import ServedModel
from tests.harness import HEART
from training.classes import Class
from training.columns import Column
from training.distribution import describe, quantiles
from training.draft import draft_model
from training.table import CellError, read_table

CITY: dict[str, Any] = {
    "name": "city",
    "column": "Town",
    "description": "Where the shop is",
    "type": "category",
    "codes": {"Berlin": 0, "Rome": 1, "1017": 1017},
    "other": True,
}
OTHER = 1018
TRAINED, LIVE = 3000, 1000
"""Rows that drift is told by."""


def declared(declaration: Declaration, *features: dict[str, Any], **example: object) -> Declaration:
    """Return the heart's declaration with other features."""
    content = declaration.model_dump(exclude={"groups", "health"})
    return Declaration.model_validate(content | {"features": features, "example": example})


@pytest.fixture(scope="module")
def towns(declaration: Declaration) -> Declaration:
    return declared(declaration, CITY | {"nullable": True}, city="Rome")


def codes_of(declaration: Declaration, *sent: object) -> list[float]:
    """Return what values of the only feature are encoded as, the same by row and by column."""
    encoder, (name,) = Encoder(declaration), declaration.feature_names
    rows: list[object] = [{name: value} for value in sent]
    matrix = encoder.encode(rows)
    np.testing.assert_array_equal(matrix[:, 0], [encoder.encode_row(row)[0] for row in rows])
    np.testing.assert_array_equal(matrix[:, 0], [declaration.features[0].encode(value) for value in sent])
    return [float(value) for value in matrix[:, 0]]


def test_values_that_are_not_listed_share_a_code(towns: Declaration) -> None:
    sent = ["Berlin", "Rome", 1, 1.0, 1017, "1017", "Oslo", "rome", "x" * 10_000, 7, -2.5, UNLISTED]
    assert codes_of(towns, *sent) == [0, 1, 1, 1, 1017, 1017, *[OTHER] * 6]
    assert np.isnan(codes_of(towns, None)).all()


def test_a_text_that_reads_as_a_code_means_it_as_in_a_table(towns: Declaration) -> None:
    assert codes_of(towns, "0", "1.0", "+1", "01017", "7", "1e999", "1,0") == [0, 1, 1, 1017, *[OTHER] * 3]


@pytest.mark.parametrize("value", ["", True, False, [], {}, float("nan"), float("inf"), 1e16, 10**400])
def test_what_is_neither_text_nor_a_number_is_rejected(towns: Declaration, value: object) -> None:
    encoder = Encoder(towns)
    for encode in (encoder.encode_row, lambda row: encoder.encode([row, row])):
        with pytest.raises(InvalidRowsError) as caught:
            encode({"city": value})
        assert "must be a text or a code; known are Berlin, Rome, 1017" in caught.value.errors[0].detail


def test_a_closed_category_decides_by_the_same_bytes_as_ever(declaration: Declaration) -> None:
    assert b"other" not in declaration.deciding
    assert sha256(declaration.deciding) in (HEART / "v1" / "bundle.json").read_text(encoding="utf-8")


def test_an_open_category_is_not_served_by_a_version_that_knows_it_closed(declaration: Declaration) -> None:
    closed = declared(declaration, CITY | {"other": False}, city="Rome")
    assert declared(declaration, CITY, city="Rome").deciding != closed.deciding


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"codes": {"a": 0, UNLISTED: 1}}, "no category can be called"),
        ({"codes": {"a": 0, "b": 2**24}}, "need a code above all others"),
        ({"rising": [["Berlin", "Oslo"]]}, "rising of city holds a value that is not among its codes"),
    ],
)
def test_what_contradicts_other_values_is_refused(
    declaration: Declaration, changed: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        declared(declaration, CITY | changed, city="a")


def test_values_that_are_not_listed_have_a_bin_however_rare_they_are(towns: Declaration) -> None:
    (city,) = towns.features
    assert isinstance(city, CategoryFeature)
    shares = {"Berlin": 0.95, "Rome": 0.03, "1017": 0.02, UNLISTED: 0.0}
    bins = category_bins(city, CategoryDistribution(shares=shares, missing=0))
    counted = bins.count(np.array([0, 1, 1017, OTHER, OTHER, np.nan]))
    assert dict(zip(bins.names, counted.tolist(), strict=True)) == {
        "Berlin": 1, UNLISTED: 2, "(others)": 2, "(missing)": 1,
    }  # fmt: skip


def test_the_reference_distribution_has_their_share(towns: Declaration) -> None:
    matrix = Encoder(towns).encode([{"city": value} for value in ("Rome", "Oslo", "Bergen", None)])
    found = describe(towns, matrix)["city"]
    assert isinstance(found, CategoryDistribution)
    assert found.shares == {"Berlin": 0, "Rome": 0.25, "1017": 0, UNLISTED: 0.5}
    assert found.missing == 0.25


def test_its_schema_lists_what_is_known_and_allows_what_is_accepted(towns: Declaration) -> None:
    schema = feature_schema(towns.features[0])
    assert schema["examples"] == [0, 1, 1017, "Berlin", "Rome", "1017", None]
    kinds = [kind["type"] for kind in schema["anyOf"]]
    assert kinds == ["string", "number", "null"]
    assert "enum" not in schema


def test_a_form_offers_another_value(towns: Declaration, heart: ServedModel) -> None:
    (city,) = towns.features
    model = ServedModel.__new__(ServedModel)
    model.declaration = towns
    (field,) = form_fields(model, typed_from(towns, {"city": "Oslo"}))
    assert [option.label for option in field.options] == [
        "Berlin", "Rome", "1017", "another value", "unknown",
    ]  # fmt: skip
    chosen = next(option for option in field.options if option.chosen)
    assert chosen.label == "another value"
    assert read_value(city, {VALUE + "city": chosen.value}) == UNLISTED


MEMBER: dict[str, Any] = {
    "name": "member",
    "column": "Member",
    "description": "Whether they pay a fee",
    "type": "boolean",
}


@pytest.fixture(scope="module")
def members(declaration: Declaration) -> Declaration:
    return declared(declaration, MEMBER | {"nullable": True}, member=False)


def test_a_boolean_is_true_or_false(members: Declaration) -> None:
    assert codes_of(members, True, False) == [1, 0]
    assert np.isnan(codes_of(members, None)).all()
    assert Encoder(members)._quick({"member": True}) == [1]  # noqa: SLF001


@pytest.mark.parametrize("value", ["true", "yes", 0, 1, 1.0, "1", [], {}, float("nan")])
def test_nothing_else_is_a_boolean_in_json(members: Declaration, value: object) -> None:
    encoder = Encoder(members)
    for encode in (encoder.encode_row, lambda row: encoder.encode([row, row])):
        with pytest.raises(InvalidRowsError) as caught:
            encode({"member": value})
        found = {error.detail for error in caught.value.errors}
        assert found == {"must be true or false, or null where it is unknown"}


@pytest.mark.parametrize("changed", [{"codes": {"a": 0, "b": 1}}, {"other": True}, {"missing_codes": [9]}])
def test_a_boolean_has_no_codes(declaration: Declaration, changed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="a boolean is true or false: it has neither"):
        declared(declaration, MEMBER | {"nullable": True} | changed, member=True)


def test_a_boolean_beside_a_category_leaves_it_no_boolean(declaration: Declaration) -> None:
    both = declared(declaration, MEMBER, CITY, member=True, city="Rome")
    encoder, rows = Encoder(both), [{"member": True, "city": "Rome"}, {"member": False, "city": True}]
    assert encoder.encode_row(rows[0]) == [1, 1]
    with pytest.raises(InvalidRowsError) as caught:
        encoder.encode(rows)
    assert [(error.row, error.field) for error in caught.value.errors] == [(1, "city")]


def test_its_schema_is_that_of_json(declaration: Declaration, members: Declaration) -> None:
    assert feature_schema(members.features[0])["anyOf"] == [{"type": "boolean"}, {"type": "null"}]
    plain = declared(declaration, MEMBER, member=False)
    assert feature_schema(plain.features[0])["type"] == "boolean"


@pytest.mark.parametrize("value", [True, False, None])
def test_a_form_says_what_was_chosen(members: Declaration, value: bool | None) -> None:
    assert typed_row(members, typed_from(members, {"member": value})) == {"member": value}


def words() -> Iterator[tuple[str, bool]]:
    for no, yes in (("no", "yes"), ("False", "TRUE"), ("nein", "Ja"), ("0", "1"), ("0.0", "1.0"), ("n", "y")):
        yield from ((no, False), (yes, True))


@pytest.mark.parametrize(("cell", "value"), list(words()))
def test_tables_have_booleans_in_words(members: Declaration, cell: str, value: bool) -> None:
    (member,) = members.features
    assert isinstance(member, BooleanFeature)
    assert member.spelled(cell) is value
    assert tables.read_cell(member, cell, members.table) is value


def test_another_word_is_no_boolean(members: Declaration, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    target = members.classes[0].target or members.classes[0].label
    path.write_text(f"Member,{members.target}\nperhaps,{target}\n", encoding="utf-8")
    with pytest.raises(
        CellError, match="'Member' is not true or false, or an empty cell where it is unknown"
    ):
        read_table(path, members)


Sent = tuple[object, str]
"""A value as JSON has it, and a cell that means the same."""


def numbers() -> st.SearchStrategy[Sent]:
    values = st.floats(-1e6, 1e6, allow_nan=False, width=32) | st.integers(-(10**6), 10**6)
    return values.map(lambda value: (value, repr(value)))


TEXTS = st.text(st.characters(categories=["L", "Nd", "Po", "Zs"]), min_size=1, max_size=8).filter(
    lambda text: text == text.strip() and text != UNLISTED
)
LISTED = {"Berlin": ("Berlin", 0), "Rome": ("Rome", 1), "1017": ("1017", 1017)}
TYPES: dict[str, tuple[dict[str, Any], st.SearchStrategy[Sent]]] = {
    "number": ({"type": "number"}, numbers()),
    "integer": ({"type": "integer"}, st.integers(-1000, 1000).map(lambda value: (value, str(value)))),
    "category": (
        {"type": "category", "codes": CITY["codes"]},
        st.sampled_from([(name, cell) for cell, names in LISTED.items() for name in names]),
    ),
    "open": (
        {"type": "category", "codes": CITY["codes"], "other": True},
        st.sampled_from([*LISTED, "0", "1.0", "01017", "7", "-2.5", "1e999"]).map(lambda cell: (cell, cell))
        | TEXTS.map(lambda text: (text, text)),
    ),
    "boolean": ({"type": "boolean"}, st.sampled_from(list(words())).map(lambda word: (word[1], word[0]))),
}
EXAMPLES = {"number": 1.5, "integer": 1, "category": "Rome", "open": "Rome", "boolean": True}


@pytest.fixture(scope="module")
def every_type(declaration: Declaration) -> Declaration:
    features = [
        {"name": name, "column": f"Column {name}", "description": name, "nullable": True, **members}
        for name, (members, _) in TYPES.items()
    ]
    return declared(declaration, *features, **EXAMPLES)


ROWS = st.lists(
    st.tuples(*(values | st.just((None, "")) for _, values in TYPES.values())), min_size=1, max_size=5
)


@given(rows=ROWS)
def test_json_tables_forms_and_training_encode_a_value_alike(
    every_type: Declaration, tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[Sent, ...]]
) -> None:
    encoder, names = Encoder(every_type), every_type.feature_names
    sent: list[Any] = [dict(zip(names, [value for value, _ in row], strict=True)) for row in rows]
    by_row = np.array([encoder.encode_row(row) for row in sent], dtype=np.float32)
    careful = np.array([encoder._careful(row) for row in sent], dtype=np.float32)  # noqa: SLF001
    text = written(every_type, rows)
    path = tmp_path_factory.getbasetemp() / "every-type.csv"
    path.write_text(text, encoding="utf-8", newline="")
    trained, _ = read_table(path, every_type)
    pasted = [{name: row[name] for name in names} for row in tables.read_table(text, every_type)]
    for matrix in (careful, encoder.encode(sent), encoder.encode(trained), encoder.encode(pasted)):
        np.testing.assert_array_equal(by_row, matrix)
    for row in sent:
        typed = typed_row(every_type, typed_from(every_type, row))
        np.testing.assert_array_equal(encoder.encode_row(row), encoder.encode_row(typed))


def written(declaration: Declaration, rows: list[tuple[Sent, ...]]) -> str:
    """Return rows as CSV, with a class in the last column."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([*(feature.column for feature in declaration.features), declaration.target])
    label = declaration.classes[0].target or declaration.classes[0].label
    writer.writerows([*(cell for _, cell in row), label] for row in rows)
    return text.getvalue()


def test_missing_values_have_a_bin_in_every_type(every_type: Declaration) -> None:
    rows = [every_type.example, dict.fromkeys(every_type.feature_names)]
    matrix = Encoder(every_type).encode(rows)
    described = describe(every_type, matrix)
    for feature, column in zip(every_type.features, matrix.T, strict=True):
        bins = feature_bins(feature, described[feature.name])
        counted = dict(zip(bins.names, bins.count(column).tolist(), strict=True))
        assert counted[MISSING] == 1
        assert bins.shares[bins.names.index(MISSING)] == 0.5


def test_a_missing_value_of_any_type_is_rejected_unless_it_is_allowed(every_type: Declaration) -> None:
    features = [feature.model_dump() | {"nullable": False} for feature in every_type.features]
    strict = declared(every_type, *features, **every_type.example)
    with pytest.raises(InvalidRowsError) as caught:
        Encoder(strict).encode([dict.fromkeys(strict.feature_names)])
    assert [error.field for error in caught.value.errors] == strict.feature_names


def test_a_thousand_features_of_many_categories_are_read_and_encoded(tmp_path: Path) -> None:
    codes = {f"value {number}": number for number in range(30)}
    columns = [
        Column(f"Column {number}", f"column_{number}", "category", codes=codes, example="value 1")
        for number in range(1000)
    ]
    classes = [Class(label, label, label, 10) for label in ("no", "yes")]
    (tmp_path / "model.toml").write_text(draft_model("wide", "y", classes, columns, TableFormat()))
    wide = read_declaration(tmp_path)
    assert len(wide.features) == 1000
    assert Encoder(wide).encode([wide.example] * 3).sum() == 3000


def drawn(declaration: Declaration, rows: int, seed: int, **shifted: object) -> Matrix:
    """Return rows of every type; a shifted feature has another value in three of ten rows."""
    chance = np.random.default_rng(seed)
    usual: dict[str, Any] = {
        "number": lambda: float(chance.normal(50, 10)),
        "integer": lambda: int(chance.integers(0, 100)),
        "category": lambda: str(chance.choice(["Berlin", "Rome", "1017"], p=[0.6, 0.3, 0.1])),
        "open": lambda: str(chance.choice(["Berlin", "Rome", "Oslo"], p=[0.5, 0.48, 0.02])),
        "boolean": lambda: bool(chance.random() < 0.3),
    }
    sent: list[object] = []
    for _ in range(rows):
        row = {name: None if chance.random() < 0.05 else draw() for name, draw in usual.items()}
        sent.append(row | {name: value for name, value in shifted.items() if chance.random() < 0.3})
    return Encoder(declaration).encode(sent)


SHIFTS = [
    *({"number": 95.5}, {"integer": 1}, {"category": "1017"}, {"open": "Bergen"}, {"boolean": True}),
    *({name: None} for name in TYPES),
]


@pytest.fixture(scope="module")
def reference(every_type: Declaration) -> dict[str, Bins]:
    described = describe(every_type, drawn(every_type, TRAINED, 0))
    return {feature.name: feature_bins(feature, described[feature.name]) for feature in every_type.features}


@pytest.mark.parametrize("shift", [{}, *SHIFTS], ids=str)
def test_drift_sees_a_planted_shift_in_each_type_and_none_in_honest_rows(
    every_type: Declaration, reference: dict[str, Bins], shift: dict[str, object]
) -> None:
    matrix, chance = drawn(every_type, LIVE, 1, **shift), quantiles(reference)
    drifted = set()
    for feature, column in zip(every_type.features, matrix.T, strict=True):
        bins = reference[feature.name]
        index = stability_index(bins.count(column), bins.shares, TRAINED)
        if index > max(0.1, chance[len(bins.names)] * (1 / LIVE + 1 / TRAINED)):
            drifted.add(feature.name)
    assert drifted == set(shift)
