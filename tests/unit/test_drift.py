"""Drift counts: every value is counted in its bin, by row and by column alike."""

import asyncio
import math
from collections.abc import Iterator
from copy import copy
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry
from scipy.stats import chi2

import serving.app
from bench.drift import stability_index
from bundle.bins import MISSING, MOST_SHARED_BINS, OTHERS, Bins, all_bins, category_bins
from bundle.distributions import CategoryDistribution
from bundle.errors import FieldError
from bundle.features import CategoryFeature, NumberFeature
from bundle.score import score, scores
from serving.app import create_app
from serving.inference.catalogue import Prediction, ServedModel, load_model
from serving.inference.drift import LEAST_QUANTILE, TOGETHER, DriftCounts
from serving.inference.monitored_model import MonitoredModel
from serving.metrics.vocabulary import Vocabulary
from serving.settings import Settings
from tests.systems import MODELS, PAGES, System
from training.data import load_recipe, load_rows
from training.distribution import BINS, describe_score, quantiles

VERSIONS = [(name, version) for name in PAGES for version in System(name).declaration.versions]
WITH_DATA = ["heart-disease", "iris", "fraud"]
Counted = dict[tuple[str, ...], float]


@pytest.fixture(scope="module", params=VERSIONS, ids="/".join)
def model(request: pytest.FixtureRequest) -> ServedModel:
    name, version = request.param
    return load_model(MODELS / name, version)


def bins_of(model: ServedModel) -> dict[str, Bins]:
    manifest = model.manifest
    return all_bins(model.declaration.features, manifest.distribution, manifest.score)


def counted(registry: CollectorRegistry, name: str) -> Counted:
    """Return the values of a metric that are not 0, by feature and bin."""
    found: Counted = {}
    for sample in (sample for family in registry.collect() for sample in family.samples):
        if sample.name == name and sample.value:
            found[tuple(sample.labels[label] for label in ("feature", "bin") if label in sample.labels)] = (
                sample.value
            )
    return found


def counts(model: ServedModel) -> tuple[DriftCounts, CollectorRegistry]:
    registry = CollectorRegistry()
    return DriftCounts(model, Vocabulary(registry)), registry


def test_bins_have_the_training_datas_shares_and_are_few(model: ServedModel) -> None:
    for feature, bins in bins_of(model).items():
        assert sum(bins.shares) == pytest.approx(1)
        assert len(set(bins.names)) == len(bins.names) == len(bins.shares)
        assert set(bins.places) == set(range(len(bins.names)))
        assert all(low < high for low, high in pairwise(bins.bounds))
        assert feature == "score" or (MISSING in bins.names) == model.declaration.feature(feature).nullable
    for number in (feature for feature in model.declaration.features if isinstance(feature, NumberFeature)):
        assert len(bins_of(model)[number.name].names) <= BINS + number.nullable


def test_the_quantile_has_one_degree_of_freedom_fewer_than_bins(model: ServedModel) -> None:
    found = bins_of(model)
    numbers = {len(bins.names) for bins in found.values()} | {2, 5}  # a share's, and that of a range
    level = 1 / (len(found) * 4 * (525_600 + 262_800))  # once in a year, of four comparisons each
    assert model.manifest.chi_square == {
        number: pytest.approx(chi2.isf(level, number - 1), abs=0.001) for number in numbers
    }


def test_a_bundle_with_the_level_of_an_earlier_release_is_told(
    model: ServedModel, caplog: pytest.LogCaptureFixture
) -> None:
    counts(model)
    assert not caplog.records
    one_feature = quantiles({"age": bins_of(model)["score"], "score": bins_of(model)["score"]})
    assert one_feature[2] >= LEAST_QUANTILE  # the fewest comparisons that a model may have
    for level, told in ((one_feature[2], 0), (10.828, 1)):  # once in a thousand windows of a feature
        manifest = model.manifest.model_copy(
            update={"chi_square": dict.fromkeys(model.manifest.chi_square, level)}
        )
        earlier = copy(model)
        earlier.manifest = manifest
        counts(earlier)
        assert len(caplog.records) == told


def test_edges_lie_between_values_and_away_from_those_that_many_rows_share() -> None:
    system = System("heart-disease")
    rows, _, _ = load_rows(system.folder, system.declaration, load_recipe(system.folder), None)
    matrix = load_model(system.folder).encode(rows)
    index = {}
    for name in ("trestbps", "chol", "thalach", "age"):
        bins = bins_of(load_model(system.folder))[name]
        moved = bins.count(matrix[:, system.declaration.feature_names.index(name)] + 1)
        index[name] = stability_index(1000 * moved, bins.shares, len(rows))
    assert index["trestbps"] < 0.01  # 0.154 with edges on the tens that blood pressures are rounded to
    assert max(index.values()) < 0.03
    halves = np.array([0.1, 0.2, 0.2, 0.3, 0.4, 0.5, 0.5, 0.6, 0.7, 0.8], dtype=np.float32)
    assert describe_score(halves.astype(np.float64)).edges == [0.15, 0.35, 0.45, 0.65]


def test_versions_share_a_reference_while_nothing_that_rows_are_compared_with_changes(
    heart: ServedModel,
) -> None:
    manifest = heart.manifest
    assert len(manifest.reference) == 8
    same = manifest.model_copy(update={"sha256": 64 * "0", "threshold": 0.2})
    assert same.reference == manifest.reference
    edges = [manifest.score.edges[0] + 1e-9, *manifest.score.edges[1:]]
    for change in (
        {"score": manifest.score.model_copy(update={"edges": edges})},
        {"data": manifest.data.model_copy(update={"rows": 304})},
        {"distribution": manifest.distribution | {"age": manifest.score}},
    ):
        assert manifest.model_copy(update=change).reference != manifest.reference


@pytest.mark.parametrize("name", WITH_DATA)
def test_the_training_data_fill_the_bins_as_the_bundle_says(name: str) -> None:
    system = System(name)
    served = load_model(system.folder)
    rows, _, _ = load_rows(system.folder, system.declaration, load_recipe(system.folder), None)
    matrix = served.encode(rows)
    for (feature, bins), column in zip(bins_of(served).items(), matrix.T, strict=False):
        assert bins.count(column) / len(rows) == pytest.approx(np.array(bins.shares)), feature


def test_bins_are_named_by_what_they_hold(heart: ServedModel) -> None:
    names = {feature: bins.names for feature, bins in bins_of(heart).items()}
    assert names["age"] == ["1: <= 45", "2: <= 53", "3: <= 57", "4: <= 62", "5: > 62"]
    assert names["restecg"] == ["left ventricular hypertrophy", "normal", "st-t abnormality"]
    assert names["thal"] == ["fixed defect", "normal", "reversible defect", MISSING]
    assert names["ca"] == ["1: <= 0", "2: <= 1", "3: > 1", MISSING]


def test_several_rare_categories_share_a_bin() -> None:
    codes = {"rare": 7, "usual": 1, "never": 3, "frequent": 2}
    feature = CategoryFeature(name="kind", column="kind", description="", type="category", codes=codes)
    shares = {"rare": 0.04, "usual": 0.56, "never": 0.0, "frequent": 0.4}
    bins = category_bins(feature, CategoryDistribution(shares=shares, missing=0))
    assert bins.names == ["usual", "frequent", OTHERS]
    assert bins.shares == [0.56, 0.4, 0.04]
    assert bins.count(np.array([7, 1, 3, 3, 2], dtype=np.float32)).tolist() == [1, 1, 3]


def test_many_rare_categories_share_several_bins() -> None:
    names = [f"city {number:02}" for number in range(60)]
    codes = {name: number for number, name in enumerate(names)}
    feature = CategoryFeature(name="city", column="city", description="", type="category", codes=codes)
    bins = category_bins(feature, CategoryDistribution(shares=dict.fromkeys(names, 1 / 60), missing=0))
    assert bins.names[0] == "(others: city 00 to city 05)"
    assert bins.shares == pytest.approx(
        [0.1] * 10
    )  # once a single bin with share 1.0, which no shift changes
    elsewhere = np.arange(1000) % 40  # nobody from the last twenty
    assert stability_index(bins.count(elsewhere.astype(np.float32)), bins.shares, 10_000) > 0.25
    everywhere = np.arange(6000) % 60
    assert stability_index(bins.count(everywhere.astype(np.float32)), bins.shares, 10_000) < 0.001


@given(shares=st.lists(st.floats(0, 0.049), min_size=2, max_size=80))
def test_every_shared_bin_holds_something(shares: list[float]) -> None:
    names = [f"value {number}" for number in range(len(shares))]
    codes = {name: number for number, name in enumerate(names)} | {"rest": len(names)}
    feature = CategoryFeature(name="x", column="x", description="", type="category", codes=codes)
    scaled = [share / max(sum(shares), 1) for share in shares]
    known = dict(zip(names, scaled, strict=True)) | {"rest": max(0.0, 1 - sum(scaled))}
    bins = category_bins(feature, CategoryDistribution(shares=known, missing=0))
    assert sum(bins.shares) == pytest.approx(1)
    assert set(bins.places) == set(range(len(bins.names)))
    assert len(bins.names) <= MOST_SHARED_BINS + 1 or "rest" not in bins.names


def values_of(model: ServedModel) -> st.SearchStrategy[dict[str, Any]]:
    """Rows whose numbers lie on, near and far from the edges of bins."""
    fields: dict[str, st.SearchStrategy[Any]] = {}
    for feature, bins in zip(model.declaration.features, bins_of(model).values(), strict=False):
        if isinstance(feature, CategoryFeature):
            fields[feature.name] = st.sampled_from(list(feature.values))
            continue
        low, high = feature.accepted
        near = [beside for bound in bins.bounds[:-1] for beside in nearby(bound) if low <= beside <= high]
        if feature.type == "integer":
            near = [float(round(value)) for value in near]
        some = st.integers(math.ceil(low), math.floor(high))
        fields[feature.name] = st.sampled_from(near or [low]) | some
        if feature.nullable:
            fields[feature.name] |= st.none()
    return st.fixed_dictionaries(fields)


def nearby(bound: float) -> Iterator[float]:
    edge = float(np.float32(bound))
    yield from (bound, float(str(np.float32(bound))), edge, np.nextafter(edge, -1e9), np.nextafter(edge, 1e9))


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_rows_count_alike_by_column_and_one_by_one(model: ServedModel, data: st.DataObject) -> None:
    rows = data.draw(st.lists(values_of(model), min_size=1, max_size=5)) * TOGETHER
    single, ones = counts(model)
    for row in rows:
        values = model.encode_row(row)
        single.add_row(values, model.predict_row(values))
    columns, many = counts(model)
    matrix = model.encode(rows)
    columns.add_rows(matrix, model.predict(matrix))
    assert counted(ones, "feature_values_total") == counted(many, "feature_values_total")
    assert sum(counted(ones, "feature_values_total").values()) == len(rows) * (len(matrix.T) + 1)
    outside = counted(ones, "feature_out_of_range_total")
    assert outside == counted(many, "feature_out_of_range_total")


def test_small_batches_count_like_large_ones(heart: ServedModel) -> None:
    matrix = heart.encode([heart.declaration.example | {"oldpeak": value} for value in (0.1, 0.8, 1.6, 9.9)])
    answers = heart.predict(matrix)
    few, some = counts(heart)
    few.add_rows(matrix, answers)
    many, lots = counts(heart)
    many.add_rows(np.tile(matrix, (TOGETHER, 1)), answers * TOGETHER)
    times = {series: number * TOGETHER for series, number in counted(some, "feature_values_total").items()}
    assert times == counted(lots, "feature_values_total")


def test_a_row_is_counted_in_the_bin_of_its_value(heart: ServedModel) -> None:
    registry = CollectorRegistry()
    drift = DriftCounts(heart, Vocabulary(registry))
    row = heart.declaration.example | {"age": 45, "chol": 700, "ca": None, "restecg": "normal"}
    values = heart.encode_row(row)
    drift.add_row(values, heart.predict_row(values))
    found = counted(registry, "feature_values_total")
    assert len(found) == 14
    expected = {("age", "1: <= 45"), ("chol", "5: > 287"), ("ca", MISSING), ("restecg", "normal")}
    assert {(feature, name) for feature, name in found} >= expected
    assert counted(registry, "feature_out_of_range_total") == {("chol",): 1}


def test_the_score_is_that_of_the_positive_or_likeliest_class() -> None:
    two: NDArray[np.float64] = np.array([[0.8, 0.2], [0.1, 0.9]])
    three: NDArray[np.float64] = np.array([[0.1, 0.7, 0.2], [0.5, 0.2, 0.3]])
    assert scores(two).tolist() == [0.2, 0.9]
    assert scores(three).tolist() == [0.7, 0.5]
    for rows in (two, three):
        alone = [score(row, int(np.argmax(row))) for row in rows.tolist()]
        assert alone == scores(rows).tolist()


def test_a_prediction_holds_its_score(model: ServedModel) -> None:
    row = model.declaration.example
    for prediction in (model.predict_row(model.encode_row(row)), *model.predict(model.encode([row]))):
        assert prediction.score == score(prediction.probabilities, prediction.class_index)


def test_the_score_is_counted_where_it_lies(model: ServedModel) -> None:
    drift, registry = counts(model)
    values = model.encode_row(model.declaration.example)
    bins = bins_of(model)["score"]
    middle = [*(bound - 1e-4 for bound in bins.bounds[:-1]), 0.99999]
    for value in middle:
        two = [1 - value, value]
        three = [(1 - value) / 2, value, (1 - value) / 2]
        probabilities = two if model.declaration.binary else three
        answer = Prediction(1, probabilities, score(probabilities, 1), [])
        drift.add_row(values, answer)
        drift.add_rows(model.encode([model.declaration.example] * TOGETHER), [answer] * TOGETHER)
    found = counted(registry, "feature_values_total")
    assert {name: found["score", name] for name in bins.names} == dict.fromkeys(bins.names, TOGETHER + 1)


def test_rejected_values_are_counted_by_feature_and_unknown_names_are_not(heart: ServedModel) -> None:
    drift, registry = counts(heart)
    faults = [
        FieldError("chol", "is wrong"),
        FieldError("chol", "is wrong", row=3),
        FieldError("patient", "is not a feature", known=False),
        FieldError("", "must be an object"),
    ]
    drift.count_rejected(faults)
    assert counted(registry, "feature_rejected_total") == {("chol",): 2}


def test_waiting_rows_are_counted_every_second_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where another worker answers the scrapes, nothing else would count them."""
    counted_models: list[MonitoredModel] = []
    thrice = asyncio.Event()

    def count(model: MonitoredModel) -> None:
        counted_models.append(model)
        if len(counted_models) == 3:
            thrice.set()

    async def run() -> int:
        app = create_app(Settings(), CollectorRegistry())
        async with app.router.lifespan_context(app):
            await asyncio.wait_for(thrice.wait(), 10)
            return len(counted_models)

    assert serving.app.COUNT_SECONDS == 1
    monkeypatch.setattr(serving.app, "COUNT_SECONDS", 0.001)
    monkeypatch.setattr(MonitoredModel, "count_pending", count)
    before_the_end = asyncio.run(run())
    assert len(counted_models) == before_the_end + 1
