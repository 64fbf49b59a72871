"""Types of features: a category that takes values which are not listed."""

from typing import Any

import numpy as np
import pytest

from bundle.bins import category_bins
from bundle.declaration import Declaration
from bundle.distributions import CategoryDistribution
from bundle.encoding import Encoder
from bundle.errors import InvalidRowsError
from bundle.features import UNLISTED, CategoryFeature
from bundle.manifest import sha256
from serving.console.fields import VALUE, form_fields, read_value, typed_from
from serving.http.schemas import feature_schema
from serving.inference.catalogue import ServedModel
from tests.harness import HEART
from training.distribution import describe

CITY: dict[str, Any] = {
    "name": "city",
    "column": "Town",
    "description": "Where the shop is",
    "type": "category",
    "codes": {"Berlin": 0, "Rome": 1, "1017": 1017},
    "other": True,
}
OTHER = 1018


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
