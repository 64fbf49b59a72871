"""The metrics of a model's quality are what scikit-learn computes from the same outcomes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import accuracy_score, brier_score_loss, confusion_matrix, recall_score

from tests.contract.test_feedback import settings_for
from tests.harness import Server, eventually
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
        for confidence_level in ("0.95", "0.9999"):
            low = shown("model_quality_lower", metric=metric, confidence_level=confidence_level)
            high = shown("model_quality_upper", metric=metric, confidence_level=confidence_level)
            assert low <= value <= high  # a metric of 1 is its own upper bound
            assert low < high
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
    assert len(server.metrics()) <= system.most_series + 150


@pytest.mark.heart
def test_for_another_threshold_the_card_has_only_the_brier_score(
    start: Callable[..., Server], tmp_path: Path
) -> None:
    server = start(**settings_for(tmp_path), THRESHOLD="0.3")
    names = {dict(labels)["metric"] for name, labels in server.metrics() if name == "model_quality_expected"}
    assert names == {"brier"}
