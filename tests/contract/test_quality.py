"""The metrics of a model's quality are what scikit-learn computes from the same outcomes."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import accuracy_score, brier_score_loss, confusion_matrix, recall_score

from serving.feedback.prediction_ids import read_id
from serving.feedback.signing_keys import Keys
from tests.contract.test_feedback import ids, report, settings_for
from tests.harness import SAMPLE, Server, eventually
from tests.systems import System

SCORE_BINS = ["0 to 0.2", "0.2 to 0.4", "0.4 to 0.6", "0.6 to 0.8", "0.8 to 1"]


def test_metrics_are_scikit_learns(start: Callable[..., Server], system: System, tmp_path: Path) -> None:
    server = start(**settings_for(tmp_path))
    rows = system.rows[:150]
    answers = server.post("/predict/batch", {"instances": rows}).json()["predictions"]
    labels, binary = system.declaration.labels, system.declaration.binary
    predicted = np.array([labels.index(answer["label"]) for answer in answers])
    truth = np.random.default_rng(0).integers(len(labels), size=len(rows))
    truth = np.where(np.random.default_rng(1).random(len(rows)) < 0.7, predicted, truth)
    for answer, true in zip(answers, truth, strict=True):
        reported = {"prediction_id": answer["prediction_id"], "outcome": labels[true]}
        assert server.post("/feedback", reported).status_code == 202
    of_version = {"model": system.name, "model_version": system.version}
    eventually(lambda: server.metric("model_outcomes", **of_version) == len(rows), "all are shown")

    def shown(name: str, **more: str) -> float:
        return server.metric(name, **of_version, **more)

    matrix = confusion_matrix(truth, predicted, labels=range(len(labels)))
    for true, label in enumerate(labels):
        for called, name in enumerate(labels):
            assert shown("model_outcomes", outcome=label, predicted=name) == matrix[true, called]
    every = np.array(
        [
            [1 - answer["probability"], answer["probability"]]
            if binary
            else list(answer["probabilities"].values())
            for answer in answers
        ]
    )
    metrics = {"accuracy": accuracy_score(truth, predicted)}
    if binary:
        metrics["brier"] = brier_score_loss(truth, every[:, 1])
        metrics["sensitivity"] = recall_score(truth, predicted)
        metrics["specificity"] = recall_score(truth, predicted, pos_label=0)
    else:
        metrics["brier"] = float(((every - np.eye(len(labels))[truth]) ** 2).sum(axis=1).mean())
    for metric, value in metrics.items():
        assert shown("model_quality", metric=metric) == pytest.approx(value, abs=1e-6), metric
        for confidence_level in ("0.95", "0.99999"):
            low = shown("model_quality_lower", metric=metric, confidence_level=confidence_level)
            high = shown("model_quality_upper", metric=metric, confidence_level=confidence_level)
            assert low <= value <= high  # a metric of 1 is its own upper bound
            assert low < high
    for label in {labels[called] for called in predicted}:
        number = int((predicted == labels.index(label)).sum())
        assert shown("model_window_predictions", predicted=label) == number
        assert shown("model_outcome_share", predicted=label) == 1
    right, score = (truth, every[:, 1]) if binary else (truth == predicted, every.max(axis=1))
    observed, predicted_mean = calibration_curve(right, score, n_bins=5)
    bins = [name for name, held in zip(SCORE_BINS, np.histogram(score, 5, (0, 1))[0], strict=True) if held]
    for name, share, mean in zip(bins, observed, predicted_mean, strict=True):
        assert shown("model_calibration_observed", bin=name) == pytest.approx(share)
        assert shown("model_calibration_score", bin=name) == pytest.approx(mean)
        assert (
            shown("model_calibration_lower", bin=name) <= share <= shown("model_calibration_upper", bin=name)
        )


def test_the_cards_metrics_are_exposed_beside(
    start: Callable[..., Server], system: System, tmp_path: Path
) -> None:
    server = start(**settings_for(tmp_path))
    for version in system.declaration.versions:
        if version != system.version and not system.declaration.routes.versioned:
            continue
        card = server.get(f"/models/{system.name}").json()["evaluation"]["metrics"]
        if version == system.version:
            expected = {"accuracy": card["accuracy"]["value"], "brier": card["brier"]["value"]}
            if system.declaration.binary:
                expected["sensitivity"] = 1 - card["false_negative_rate"]["value"]
                expected["specificity"] = 1 - card["false_positive_rate"]["value"]
            for metric, value in expected.items():
                shown = server.metric("model_quality_expected", model_version=version, metric=metric)
                assert shown == pytest.approx(value)
                low, high = (
                    server.metric(f"model_quality_expected_{bound}", model_version=version, metric=metric)
                    for bound in ("lower", "upper")
                )
                assert low < value < high
    assert len(server.metrics()) <= system.most_series + 150


@pytest.mark.heart
def test_for_another_threshold_the_card_has_only_the_brier_score(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    server = start(**settings_for(tmp_path), THRESHOLD="0.3")
    names = {dict(labels)["metric"] for name, labels in server.metrics() if name == "model_quality_expected"}
    assert names == {"brier"}


@pytest.mark.heart
def test_outcomes_of_a_tried_threshold_do_not_count_for_the_usual_one(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    tried = start(**settings_for(tmp_path), THRESHOLD="0.167")
    for prediction_id in ids(tried, System("heart-disease").rows[:30]):
        assert report(tried, prediction_id, 0).status_code == 202
    eventually(lambda: tried.metric("model_outcomes") == 30, "they count for the trial")
    tried.stop()
    usual = start(**settings_for(tmp_path))
    (prediction_id,) = ids(usual, [SAMPLE])
    assert report(usual, prediction_id, 0).status_code == 202
    eventually(lambda: usual.metric("model_outcomes") == 1, "one outcome counts")
    assert usual.metric("model_window_predictions") == 1


@pytest.mark.heart
def test_outcomes_of_called_positives_alone_are_shown_as_selective(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    server = start(**settings_for(tmp_path), WORKERS="2")
    answers = server.post("/predict/batch", {"instances": System("heart-disease").rows[:100]}).json()
    positives = [answer for answer in answers["predictions"] if answer["label"] == "disease"]
    for answer in positives:
        assert report(server, answer["prediction_id"], 1).status_code == 202
    eventually(lambda: server.metric("model_outcomes") == len(positives), "all are shown")
    eventually(lambda: server.metric("model_window_predictions") == 100, "all predictions are counted", 40)
    shares = [server.metric("model_outcome_share", predicted=label) for label in ("disease", "no_disease")]
    assert shares == [1, 0]
    low = server.metric("model_outcome_share_lower", predicted="disease")
    assert low > server.metric("model_outcome_share_upper", predicted="no_disease")


@pytest.mark.heart
def test_an_outcome_counts_once_its_prediction_is_mature(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    server = start(**settings_for(tmp_path, FEEDBACK_MATURITY_DAYS="2"))
    fresh, ripe = ids(server, [SAMPLE] * 2)
    for prediction_id in (fresh, ripe):
        assert report(server, prediction_id, 1).status_code == 202
    number = read_id(ripe, Keys(tmp_path / "keys"), days=1).number
    with sqlite3.connect(tmp_path / "outcomes.db") as database:
        database.execute(
            "UPDATE outcomes SET predicted_at = predicted_at - 3 * 86400 WHERE number = ?", [number]
        )
    eventually(lambda: server.metric("model_outcomes") == 1, "the older one counts", 40)


@pytest.mark.heart
def test_the_last_predictions_are_counted_when_a_server_stops(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    server = start(**settings_for(tmp_path))
    eventually(lambda: server.metric("feedback_store_up") == 1, "the schema is there")
    ids(server, [SAMPLE] * 7)
    server.stop()
    with sqlite3.connect(tmp_path / "outcomes.db") as database:
        assert database.execute("SELECT sum(rows) FROM prediction_counts").fetchone() == (7,)
