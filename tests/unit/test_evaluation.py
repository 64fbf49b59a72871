"""Metrics equal scikit-learn's, and their confidence intervals are as wide as theory says."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    precision_score,
    recall_score,
    roc_auc_score,
)

from bundle.declaration import Declaration, load_declaration
from bundle.evaluation import ClassMetrics, MetricEstimate
from bundle.manifest import load_manifest
from tests.harness import PROJECT
from training.card import render_card
from training.evaluation import evaluate
from training.metrics import (
    Scores,
    accuracy,
    auc,
    average_precision,
    brier,
    calibration,
    false_negative_rate,
    false_positive_rate,
    summarise,
)
from training.resampling import row_resamples


def weights_of(rows: int) -> np.ndarray:
    """Return the weights of the rows themselves, and of their resamples [1 + resamples, rows]."""
    return np.vstack([np.ones(rows), *row_resamples(rows).chunks()])


@pytest.fixture
def scores() -> Scores:
    random = np.random.default_rng(1)
    truth = random.uniform(0, 1, 400)
    labels = (random.uniform(0, 1, 400) < truth).astype(np.int64)
    probability = np.clip(truth**2, 0.01, 0.99).round(2).astype(np.float64)  # overconfident, with ties
    return Scores(labels, probability, weights_of(400), threshold=0.5)


def resampled(scores: Scores, number: int) -> tuple[np.ndarray, np.ndarray]:
    repeat = np.repeat(np.arange(len(scores.labels)), scores.weights[number].astype(int))
    return scores.labels[repeat], scores.probability[repeat]


@pytest.mark.parametrize("number", [0, 1, 77])
def test_metrics_equal_scikit_learn_on_the_same_resample(scores: Scores, number: int) -> None:
    labels, probability = resampled(scores, number)
    assert auc(scores)[number] == pytest.approx(roc_auc_score(labels, probability))
    expected = average_precision_score(labels, probability)
    assert average_precision(scores)[number] == pytest.approx(expected)
    assert false_negative_rate(scores)[number] == pytest.approx(1 - recall_score(labels, probability >= 0.5))
    specificity = recall_score(labels, probability >= 0.5, pos_label=0)
    assert false_positive_rate(scores)[number] == pytest.approx(1 - specificity)
    logit = np.log(probability / (1 - probability))
    fitted = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(logit[:, None], labels)
    intercept, slope = calibration(scores)[:, number]
    assert intercept == pytest.approx(fitted.intercept_[0], abs=1e-4)
    assert slope == pytest.approx(fitted.coef_[0, 0], abs=1e-4)


def test_brier_and_accuracy_by_row(scores: Scores) -> None:
    both = np.stack([1 - scores.probability, scores.probability], axis=1)
    assert brier(scores.labels, both, 0.5).mean() == pytest.approx(
        brier_score_loss(scores.labels, scores.probability)
    )
    hits = (scores.probability >= 0.3) == scores.labels
    assert accuracy(scores.labels, both, 0.3).mean() == pytest.approx(hits.mean())
    three = np.array([[0.2, 0.5, 0.3], [0.6, 0.3, 0.1]])
    assert accuracy(np.array([1, 2]), three, None).tolist() == [1, 0]
    assert brier(np.array([1, 2]), three, None).tolist() == pytest.approx([0.38, 0.36 + 0.09 + 0.81])


def test_thresholds_are_compared_by_cost(declaration: Declaration) -> None:
    """Ten rows, thirty times; a false negative costs five false positives: 1/6 is the cheaper threshold."""
    labels = np.array([0, 0, 0, 0, 1, 0, 0, 1, 1, 1] * 30)
    positive = np.array(([0.1] * 5 + [0.3] * 3 + [0.8] * 2) * 30)
    probabilities = np.stack([1 - positive, positive], axis=1)[None]
    matrix = np.zeros((300, len(declaration.features)), dtype=np.float32)
    half, sixth = evaluate(declaration, matrix, labels, probabilities).thresholds
    assert (half.threshold, sixth.threshold) == (0.5, 0.1667)
    assert (half.false_negative_rate.value, half.false_positive_rate.value, half.cost.value) == (0.5, 0, 1000)
    assert (sixth.false_negative_rate.value, sixth.cost.value) == (
        0.25,
        700,
    )  # one false negative, two false positives
    assert sixth.false_positive_rate.value == pytest.approx(2 / 6, abs=1e-4)
    assert sixth.cost.lower < 700 < sixth.cost.upper


def test_calibration_is_scikit_learns_curve_of_ten_bins(declaration: Declaration) -> None:
    random = np.random.default_rng(0)
    positive = random.uniform(0, 1, 500)
    labels = (random.uniform(0, 1, 500) < positive**2).astype(np.int64)
    probabilities = np.stack([1 - positive, positive], axis=1)[None]
    matrix = np.zeros((500, len(declaration.features)), dtype=np.float32)
    bins = evaluate(declaration, matrix, labels, probabilities).calibration
    observed, predicted = calibration_curve(labels, positive, n_bins=10)
    assert [score_bin.observed.value for score_bin in bins] == pytest.approx(observed.tolist(), abs=1e-4)
    assert [score_bin.predicted for score_bin in bins] == pytest.approx(predicted.tolist(), abs=1e-4)
    assert sum(score_bin.rows for score_bin in bins) == 500
    for frequency in (score_bin.observed for score_bin in bins):
        assert frequency.lower <= frequency.value <= frequency.upper


def test_an_interval_is_as_wide_as_theory_says() -> None:
    """The bootstrap of a share of one half in 400 rows: 0.5 +- 1.96 * sqrt(0.25 / 400)."""
    estimate = summarise(weights_of(400) @ np.tile([0.0, 1.0], 200) / 400)
    assert estimate.value == 0.5
    assert [estimate.lower, estimate.upper] == pytest.approx([0.451, 0.549], abs=0.006)


def test_each_of_many_classes_has_scikit_learns_recall_and_precision() -> None:
    iris = load_declaration(PROJECT / "models" / "iris")
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 200)
    probabilities = np.eye(3)[labels] + random.uniform(0, 1.5, (200, 3))
    probabilities[:, 2] = 0  # is never predicted
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    matrix = np.zeros((200, 4), dtype=np.float32)
    classes = evaluate(iris, matrix, labels, probabilities[None]).classes
    assert [metrics.label for metrics in classes] == iris.labels
    assert [metrics.rows for metrics in classes] == np.bincount(labels).tolist()
    predicted = probabilities.argmax(axis=1)
    for name, score in (("recall", recall_score), ("precision", precision_score)):
        expected = score(labels, predicted, average=None, zero_division=0)[:2].tolist()
        assert [metrics.metrics[name].value for metrics in classes[:2]] == pytest.approx(expected, abs=1e-4)
    assert 0 < classes[0].metrics["recall"].lower < classes[0].metrics["recall"].value < 1
    assert set(classes[2].metrics) == {"recall"}
    assert classes[2].metrics["recall"].value == 0


def test_the_card_lists_every_class_of_many() -> None:
    iris = load_declaration(PROJECT / "models" / "iris")
    manifest = load_manifest(PROJECT / "models" / "iris" / "v1", iris)
    once = MetricEstimate(value=0.5, lower=0.25, upper=0.75)
    classes = [ClassMetrics(label=f"c{n}", rows=n, metrics={"recall": once}) for n in range(24)]
    evaluation = manifest.evaluation.model_copy(update={"classes": classes})
    card = render_card(iris, [manifest.model_copy(update={"evaluation": evaluation})])
    for n in range(24):
        assert f"| `c{n}` | {n} | 0.500 (0.250 to 0.750) | never predicted |" in card
