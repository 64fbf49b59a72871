"""Intervals match the textbooks, and ids are signed as RFC 7693 says."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from bundle.declaration import Declaration
from serving.errors import ValidationError
from serving.feedback.outcomes import Cell
from serving.feedback.prediction_ids import SignedPrediction, id_writer
from serving.feedback.quality import NORMAL_QUANTILES, assess, mean, proportion
from serving.feedback.reports import to_outcome
from serving.feedback.signing_keys import Keys
from serving.inference.catalogue import ServedModel
from serving.settings import Settings, SettingsError, load_settings


@pytest.mark.parametrize(("part", "whole"), [(0, 1), (1, 1), (7, 10), (0, 40), (320, 400)])
def test_a_share_has_wilsons_interval(part: int, whole: int) -> None:
    estimate = proportion(part, whole)
    assert estimate.value == part / whole
    for confidence_level, interval in estimate.intervals.items():
        expected = binomtest(part, whole).proportion_ci(float(confidence_level), method="wilson")
        assert interval == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_quantiles_are_the_normal_distributions() -> None:
    for confidence_level, quantile in NORMAL_QUANTILES.items():
        assert quantile == pytest.approx(norm.ppf(0.5 + float(confidence_level) / 2), abs=1e-6)


def test_a_mean_has_the_interval_of_its_standard_error() -> None:
    values = np.random.default_rng(0).beta(1, 6, 300)
    estimate = mean(values.sum(), (values**2).sum(), 300)
    error = values.std(ddof=1) / np.sqrt(300)
    assert estimate.value == pytest.approx(values.mean())
    assert estimate.intervals["0.95"] == pytest.approx(
        (values.mean() - 1.959964 * error, values.mean() + 1.959964 * error)
    )
    assert mean(0.25, 0.0625, 1).intervals["0.9999"] == (0.25, 0.25)


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


def test_outcomes_of_removed_classes_are_ignored(declaration: Declaration) -> None:
    gone = replace(CELL, predicted="sick"), replace(CELL, outcome="well")
    assert assess(declaration, [CELL, *gone]) == assess(declaration, [CELL])
    assert assess(declaration, [CELL]).outcomes["disease", "disease"] == 3
    assert assess(declaration, []).metrics == {}


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
