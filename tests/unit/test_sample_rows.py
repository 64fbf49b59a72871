"""monitoring/sample_rows.py: rows like the training data of any model, without our packages."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from bench.drift import stability_index
from bundle.bins import feature_bins
from bundle.declaration import load_declaration
from bundle.encoding import Encoder
from bundle.errors import InvalidRowsError
from bundle.features import UNLISTED
from bundle.manifest import Manifest, load_manifest
from bundle.metric_names import DEFAULT_METRICS
from monitoring import sample_rows
from tests.harness import PROJECT
from tests.systems import MODELS, PAGES
from training.table import read_table

SYSTEMS = [name.partition("-v")[0] for name in PAGES]


def manifest_of(name: str) -> Manifest:
    declaration = load_declaration(MODELS / name)
    return load_manifest(MODELS / name / declaration.default_version, declaration)


def sampled(name: str) -> tuple[sample_rows.Document, sample_rows.Document, list[sample_rows.Row]]:
    """Return the declaration, the bundle and rows of a model, as main does."""
    declaration = sample_rows.read_model(MODELS, name)
    bundle = sample_rows.read_bundle(MODELS, name, declaration["default_version"])
    return declaration, bundle, sample_rows.sample(MODELS / name, declaration, bundle)[1]


def indexes(name: str, rows: list[sample_rows.Row]) -> Iterator[tuple[str, float]]:
    """Yield the population stability index of each feature, in the server's bins."""
    declaration, manifest = load_declaration(MODELS / name), manifest_of(name)
    matrix = Encoder(declaration).encode(rows)
    for feature, column in zip(declaration.features, matrix.T, strict=True):
        bins = feature_bins(feature, manifest.distribution[feature.name])
        yield feature.name, stability_index(bins.count(column), bins.shares, manifest.data.rows)


def test_it_needs_nothing_but_the_standard_library() -> None:
    script = PROJECT / "monitoring" / "sample_rows.py"
    result = subprocess.run([sys.executable, "-I", "-S", script, "--help"], capture_output=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("name", ["heart-disease", "iris"])
def test_a_table_is_read_as_training_reads_it(name: str) -> None:
    declaration = load_declaration(MODELS / name)
    rows, _ = read_table(MODELS / name / "data.csv", declaration)
    shuffled = sampled(name)[2]
    assert shuffled != rows  # which may be sorted by class
    assert sorted(map(str, shuffled)) == sorted(map(str, rows))


@pytest.mark.parametrize("name", SYSTEMS)
def test_no_feature_drifts_in_any_window_of_rows(name: str) -> None:
    rows = sampled(name)[2]
    for start in range(0, len(rows), 300):
        window = [rows[number % len(rows)] for number in range(start, start + 300)]
        assert max(indexes(name, window), key=lambda drift: drift[1])[1] < 0.05


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_shifted_feature_drifts_within_its_range_and_no_other_does(name: str) -> None:
    for feature in load_declaration(MODELS / name).feature_names:
        declaration, bundle, rows = sampled(name)
        sample_rows.shift(rows, declaration, bundle["distribution"], feature)
        drift = dict(indexes(name, rows))  # raises for a value outside of the range
        assert drift.pop(feature) > 0.25, feature
        assert max(drift.values()) < 0.01, feature


@pytest.mark.parametrize("name", SYSTEMS)
def test_each_feature_can_make_a_row_invalid(name: str) -> None:
    encoder = Encoder(load_declaration(MODELS / name))
    fields = set()
    for line in sample_rows.lines(sampled(name)[2][:40]):
        row, invalid = (json.loads(json.loads(quoted)) for quoted in line.split("\t"))
        encoder.encode_row(row)
        with pytest.raises(InvalidRowsError) as rejected:
            encoder.encode_row(invalid)
        fields |= {error.field for error in rejected.value.errors}
    assert fields == set(load_declaration(MODELS / name).feature_names)


def test_rows_that_are_drawn_keep_whole_numbers_and_missing_values() -> None:
    _, bundle, rows = sampled("churn")
    assert {type(row["tenure"]) for row in rows} == {int}
    assert {type(row["MonthlyCharges"]) for row in rows} == {float}
    missing = sum(row["TotalCharges"] is None for row in rows) / len(rows)
    assert missing == pytest.approx(bundle["distribution"]["TotalCharges"]["missing"], abs=0.002)


def test_features_that_are_drawn_are_independent() -> None:
    rows = sampled("churn")[2]
    columns = np.array([[float(row[name] or 0) for name in ("tenure", "MonthlyCharges")] for row in rows])
    assert abs(np.corrcoef(columns.T)[0, 1]) < 0.05


def test_a_category_is_shifted_to_its_rarest_value() -> None:
    declaration, bundle, rows = sampled("heart-disease")
    sample_rows.shift(rows, declaration, bundle["distribution"], "thal")
    assert {row["thal"] for row in rows} == {"fixed defect"}


def test_rows_of_other_data_than_the_version_was_trained_on_are_not_sent(tmp_path: Path) -> None:
    folder = shutil.copytree(MODELS / "iris", tmp_path / "iris")
    declaration, trained_on = sample_rows.read_model(tmp_path, "iris"), manifest_of("iris").data.sha256
    assert len(sample_rows.read_data(folder, declaration, trained_on)) == 150
    with (folder / "data.csv").open("a", encoding="utf-8") as data:
        data.write("9,9,9,9,setosa\n")
    assert sample_rows.read_data(folder, declaration, trained_on) == []


def number(**members: object) -> dict[str, object]:
    return {"name": "x", "type": "integer", **members}


@pytest.mark.parametrize(
    ("feature", "values", "shifted"),
    [
        (number(), [0, 0, 0, 1], [1, 1, 1, 2]),  # a deviation of less than one
        (number(range=[0, 1]), [0, 1, 1, 1], [0, 0, 0, 0]),  # no room above
        (number(missing_codes=[-9]), [0, 4, None, -9], [3, 7, None, -9]),
        (number(type="number", range=[0.5, 4.5]), [1, 3, 3, 4], [1, 1, 1, 2]),
    ],
)
def test_a_number_is_shifted_to_where_there_is_room(
    feature: dict[str, object], values: list[int | None], shifted: list[int | None]
) -> None:
    rows: list[sample_rows.Row] = [{"x": value} for value in values]
    sample_rows.shift_number(rows, feature)
    assert [row["x"] for row in rows] == shifted


def test_what_cannot_be_shifted_is_a_sentence() -> None:
    rows: list[sample_rows.Row] = [{"x": 1}]
    with pytest.raises(SystemExit, match="x cannot be shifted: most of its training values are the same"):
        sample_rows.shift(rows, {"features": [number()]}, {"x": {"edges": [], "shares": [1.0]}}, "x")
    with pytest.raises(SystemExit, match="x cannot be shifted: it is missing in nearly all rows"):
        sample_rows.shift_number([{"x": None}], number())


def test_the_counter_of_requests_has_the_models_own_name() -> None:
    default = DEFAULT_METRICS["requests"]
    labels = {dimension: label for label, dimension in default.labels.items()}
    assert sample_rows.request_counter({}) == (default.name, labels["endpoint"], labels["status"])
    heart = sample_rows.read_model(MODELS, "heart-disease")
    assert sample_rows.request_counter(heart) == ("api_requests_total", "endpoint", "status_code")
    assert sample_rows.request_counter({"metrics": {"requests": {"name": "asked"}}}) == ("asked", "-", "-")
    assert sample_rows.request_counter({"metrics": {}}) == ("-", "-", "-")


def test_what_a_category_holds_reaches_curl_unharmed() -> None:
    row: sample_rows.Row = {"x": 'a "b" \\ é\t', "y": None}
    sent, invalid = next(sample_rows.lines([row])).rstrip("\n").split("\t")
    assert json.loads(json.loads(sent)) == row
    assert json.loads(json.loads(invalid)) == row | {"x": []}


def test_booleans_and_values_that_are_not_listed_are_sent_as_clients_do(tmp_path: Path) -> None:
    declaration = {
        "data_file": "data.csv",
        "features": [
            {"name": "member", "column": "member", "type": "boolean", "nullable": True},
            {"name": "city", "column": "city", "type": "category", "codes": {"Rome": 0}, "other": True},
        ],
    }
    distribution = {
        "member": {"shares": {"false": 0.5, "true": 0.25}, "missing": 0.25},
        "city": {"shares": {"Rome": 0.9, UNLISTED: 0.1}, "missing": 0.0},
    }
    table = b"member,city\nyes,Oslo\n0,Rome\n"
    (tmp_path / "data.csv").write_bytes(table)
    bundle = {"distribution": distribution, "data": {"sha256": sha256(table).hexdigest()}}
    origin, rows = sample_rows.sample(tmp_path, declaration, bundle)
    assert origin == "bundle"  # as only training knows the words of a table
    assert {row["member"] for row in rows} == {True, False, None}
    assert {type(row["member"]) for row in rows} == {bool, type(None)}
    assert {row["city"] for row in rows} == {"Rome", UNLISTED}
    sample_rows.shift(rows, declaration, distribution, "member")
    assert {row["member"] for row in rows} == {True}


def test_a_cell_that_is_not_listed_is_sent_as_it_is() -> None:
    open_ = {"type": "category", "codes": {"Rome": 0}, "other": True}
    table = sample_rows.TABLE
    assert [sample_rows.read_cell(cell, open_, table) for cell in ("Rome", "Oslo", "")] == [
        "Rome",
        "Oslo",
        None,
    ]
