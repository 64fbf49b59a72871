"""Intervals match the textbooks, and ids are signed as RFC 7693 says."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom, binomtest, norm

from bundle.declaration import Declaration
from serving.errors import ValidationError
from serving.feedback.coverage import coverage, is_selective
from serving.feedback.expectation import expected, positive_rows
from serving.feedback.intervals import ALERTED, NORMAL_QUANTILES, likelihood_ratio, mean, proportion, wilson
from serving.feedback.outcomes import SECONDS_A_DAY, Cell
from serving.feedback.prediction_counts import PredictionCount, PredictionCounts, origin_of
from serving.feedback.prediction_ids import SignedPrediction, id_writer
from serving.feedback.quality import assess
from serving.feedback.quality_metrics import CountedDays, Stored, comparable, of_version
from serving.feedback.reports import to_outcome
from serving.feedback.signing_keys import Keys
from serving.inference.catalogue import ServedModel
from serving.settings import Settings, SettingsError, load_settings


@pytest.mark.parametrize(("part", "whole"), [(0, 1), (1, 1), (7, 10), (0, 40), (320, 400)])
def test_a_share_has_wilsons_interval(part: int, whole: int) -> None:
    estimate = proportion(part, whole)
    assert estimate.value == part / whole
    for confidence_level, interval in estimate.intervals.items():
        if confidence_level == ALERTED:
            continue
        expected = binomtest(part, whole).proportion_ci(float(confidence_level), method="wilson")
        assert interval == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_quantiles_are_the_normal_distributions() -> None:
    for confidence_level, quantile in NORMAL_QUANTILES.items():
        assert quantile == pytest.approx(norm.ppf(0.5 + float(confidence_level) / 2), abs=1e-6)


def test_a_mean_has_the_interval_of_its_standard_error() -> None:
    values = np.random.default_rng(0).beta(1, 6, 300)
    estimate = mean(values.sum(), (values**2).sum(), 300)
    error = np.append(values, [0, 1]).std(ddof=1) / np.sqrt(302)
    assert estimate.value == pytest.approx(values.mean())
    assert estimate.intervals["0.95"] == pytest.approx(
        (values.mean() - 1.959964 * error, values.mean() + 1.959964 * error)
    )


def test_one_outcome_leaves_the_brier_score_open() -> None:
    low, high = mean(0.0001, 0.0001**2, 1).intervals[ALERTED]
    assert low < 0
    assert high > 1


@pytest.mark.parametrize("true", [0.5, 0.79, 0.977, 0.9977])
@pytest.mark.parametrize("rows", [50, 150, 1500])
def test_the_interval_of_alerts_errs_as_rarely_as_its_level_says(true: float, rows: int) -> None:
    z = NORMAL_QUANTILES[ALERTED]
    missed = [part for part in range(rows + 1) if likelihood_ratio(part, rows, z)[1] < true]
    chance = sum(binom.pmf(part, rows, true) for part in missed)
    assert chance < 1e-5 < np.exp(-z * z / 2)  # Chernoff's bound
    assert likelihood_ratio(round(true * rows), rows, z)[0] <= round(true * rows) / rows


@pytest.mark.parametrize("secret", [bytes(range(32)), b"a longer key than BLAKE2s takes" * 3])
def test_an_id_ends_with_the_keyed_blake2s_of_its_content(
    tmp_path: Path, heart: ServedModel, secret: bytes
) -> None:
    (tmp_path / "2026-01-01").write_bytes(secret)
    write = id_writer(Keys(tmp_path), heart)
    answers = [heart.predict_row(heart.encode_row(heart.declaration.example)) for _ in range(3)]
    ids = [bytes.fromhex(write(answer)) for answer in answers]
    for content in ids:
        signed = hashlib.blake2s(content[:-16], key=hashlib.blake2s(secret).digest(), digest_size=16)
        assert content[-16:] == signed.digest()
    assert len(set(ids)) == len(ids)


CELL = Cell("v1", "disease", "disease", 4, 3, 2.7, 0.03, 0.0003)


def test_wilsons_interval_errs_too_often_for_alerts() -> None:
    z = NORMAL_QUANTILES[ALERTED]
    missed = [part for part in range(151) if wilson(part, 150, z)[1] < 0.9977]
    assert sum(binom.pmf(part, 150, 0.9977) for part in missed) > 1e-3


def test_outcomes_of_removed_classes_are_ignored(declaration: Declaration) -> None:
    gone = replace(CELL, predicted="sick"), replace(CELL, outcome="well")
    assert assess(declaration, [CELL, *gone]) == assess(declaration, [CELL])
    assert assess(declaration, [CELL]).outcomes["disease", "disease"] == 3
    assert assess(declaration, []).metrics == {}


def test_the_card_has_the_interval_of_its_rows(heart: ServedModel) -> None:
    card = expected(heart.manifest, threshold=0.5)
    metrics = heart.manifest.evaluation.metrics
    assert positive_rows(heart.manifest) == pytest.approx(139, abs=1)  # of 303 rows
    assert set(card) == {"accuracy", "brier", "sensitivity", "specificity"}
    for name, error in (("sensitivity", "false_negative_rate"), ("specificity", "false_positive_rate")):
        low, high = card[name].interval
        assert card[name].value == 1 - metrics[error].value
        assert low < 1 - metrics[error].upper < 1 - metrics[error].lower < high
    for name in ("accuracy", "brier"):
        low, high = card[name].interval
        assert low < metrics[name].lower < metrics[name].upper < high
    assert set(expected(heart.manifest, threshold=0.3)) == {"brier"}


def test_outcomes_of_another_bundle_or_threshold_do_not_count(heart: ServedModel) -> None:
    own = replace(CELL, origin=origin_of(heart))
    others = [replace(own, origin=origin) for origin in ("1ad91c737e87@0.167", "0" * 12 + "@0.5")]
    unknown = replace(own, origin=None)
    assert of_version(heart, [own, *others, unknown, replace(own, version="v2")]) == [own, unknown]


def cells_of(heart: ServedModel, sick: int, well: int) -> Stored:
    """Return 100 predictions of each class, of which so many have an outcome."""
    origin, labels = origin_of(heart), heart.declaration.labels
    cells = [
        replace(CELL, predicted=label, rows=rows, origin=origin)
        for label, rows in zip(labels, (well, sick), strict=True)
    ]
    counts = [PredictionCount("heart-disease", "v1", origin, 0, label, 100) for label in labels]
    return Stored(cells, [*counts, replace(counts[0], origin="0" * 12 + "@0.5")])


@pytest.mark.parametrize(("sick", "well", "selective"), [(40, 40, False), (45, 35, False), (70, 20, True)])
def test_outcomes_are_selective_where_their_share_differs_by_class(
    heart: ServedModel, sick: int, well: int, selective: bool
) -> None:
    stored = cells_of(heart, sick, well)
    classes = stored.coverage(heart)
    assert {label: covered.share.value for label, covered in classes.items()} == {
        "disease": sick / 100,
        "no_disease": well / 100,
    }
    assert is_selective(classes) is selective
    assert (comparable(heart, stored) is None) is selective


def test_few_or_uncounted_outcomes_are_not_compared_with_later_ones(heart: ServedModel) -> None:
    assert comparable(heart, cells_of(heart, 24, 25)) is None
    assert comparable(heart, cells_of(heart, 25, 25)) is not None
    stored = cells_of(heart, 60, 60)
    earlier_release = Stored([replace(cell, origin=None) for cell in stored.cells], [])
    assert comparable(heart, earlier_release) is None


def test_more_outcomes_than_counted_predictions_are_a_share_of_one() -> None:
    (covered,) = coverage({"disease": 2}, [replace(CELL, origin="a")]).values()
    assert covered.share.value == 1
    assert coverage({"disease": 0}, []) == {}
    assert not is_selective({})


@pytest.mark.parametrize(("maturity", "present"), [(0, (971, 1001)), (1, (969, 999)), (30, (940, 970))])
def test_predictions_count_once_they_are_mature(maturity: int, present: tuple[int, int]) -> None:
    days = CountedDays(30, maturity)
    assert days.present(1000) == present
    assert days.earlier(1000) == (present[0] - 60, present[0])
    if maturity:
        youngest = present[1] * SECONDS_A_DAY - 1
        assert 1000 * SECONDS_A_DAY - youngest > maturity * SECONDS_A_DAY


def test_predictions_are_counted_by_class_and_once(tmp_path: Path, heart: ServedModel) -> None:
    (tmp_path / "2026-01-01").write_bytes(bytes(range(32)))
    counts = PredictionCounts([heart])
    write = id_writer(Keys(tmp_path), heart, counts.of(heart))
    prediction = heart.predict_row(heart.encode_row(heart.declaration.example))
    for _ in range(3):
        write(prediction)
    (count,) = stored = counts.pending(7)
    label = heart.declaration.labels[prediction.class_index]
    assert (count.predicted, count.rows, count.day, count.origin) == (label, 3, 7, origin_of(heart))
    write(prediction)  # while the others are being stored
    counts.settle(stored)
    assert [count.rows for count in counts.pending(8)] == [1]


def test_an_id_of_a_version_with_other_classes_is_rejected(declaration: Declaration) -> None:
    predicted = SignedPrediction("a", "heart-disease", "v0", 0, 1, [0.2, 0.3, 0.5])
    with pytest.raises(ValidationError, match="a version with other classes"):
        to_outcome(predicted, declaration, 1)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("mysql://user:hunter2@host/db", "must be sqlite:///FILE or postgresql://"),
        ("sqlite://", "must be sqlite:///FILE"),
        ("sqlite:////nowhere/at/all.db", "the folder of its file is missing: make it"),
    ],
)
def test_an_invalid_database_is_reported_without_its_password(
    monkeypatch: pytest.MonkeyPatch, url: str, sentence: str
) -> None:
    monkeypatch.setenv("FEEDBACK_DATABASE", url)
    monkeypatch.setenv("FEEDBACK_KEYS", "keys")
    with pytest.raises(SettingsError, match=sentence) as raised:
        load_settings()
    assert "hunter2" not in str(raised.value)
    monkeypatch.setenv("FEEDBACK_DATABASE", "postgresql://user:hunter2@host/db")
    monkeypatch.delenv("FEEDBACK_KEYS")
    with pytest.raises(SettingsError, match="are set together") as raised:
        load_settings()
    assert "hunter2" not in str(raised.value)


def test_a_database_url_is_kept_verbatim() -> None:
    settings = Settings(feedback_database="postgresql://u:p@h/d", feedback_keys=Path("keys"))
    assert settings.feedback_database == "postgresql://u:p@h/d"
