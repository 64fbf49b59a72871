"""The alert on quality, as a real Prometheus evaluates it: raised by a decline, and not by honest outcomes.

Outcomes are resampled from the heart model's held-out rows, so that the card's metrics are the truth.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from bench.prometheus import Prometheus, promtool
from bundle.encoding import Encoder
from serving.feedback.outcomes import SCORE_BINS, Cell
from serving.feedback.quality import assess, expected
from tests.harness import HEART, PROJECT
from tests.systems import System
from training.data import load_recipe, load_rows
from training.evaluation import out_of_fold

RULES = PROJECT / "monitoring" / "rules" / "quality.yaml"
STREAMS = 20
OUTCOMES = 1000
LOOK_EVERY = 50
TURNED = 0.2
START = 1_750_000_000
MINUTE = 60


def held_out(system: System) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return probabilities and labels of the evaluation's predictions, each of held-out rows."""
    recipe = load_recipe(HEART)
    rows, labels, _ = load_rows(HEART, system.declaration, recipe, None)
    matrix = Encoder(system.declaration).encode(rows)
    pipeline = lambda: recipe.build_pipeline("logistic_regression", system.declaration)  # noqa: E731
    probabilities = out_of_fold(pipeline, matrix, labels, 2)
    return probabilities[:, :, 1].ravel(), np.tile(labels, len(probabilities))


def cells(probability: NDArray[np.float64], truth: NDArray[np.int64]) -> Iterator[Cell]:
    """Yield each outcome as its own cell, as the store would aggregate it."""
    names = ("no_disease", "disease")
    for score, true in zip(probability.tolist(), truth.tolist(), strict=True):
        error = (score - true) ** 2
        score_bin = min(int(score * SCORE_BINS), SCORE_BINS - 1)
        yield Cell("v1", names[score >= 0.5], names[true], score_bin, 1, score, error, error**2)


def samples(system: System) -> Iterator[str]:
    """Yield the metrics of each stream at every look, as OpenMetrics by name."""
    probability, labels = held_out(system)
    lines: dict[str, list[str]] = {}
    card = expected(system.manifest, threshold=0.5)
    for declines in (False, True):
        for seed in range(STREAMS):
            random = np.random.default_rng(seed)
            drawn = random.integers(len(labels), size=OUTCOMES)
            truth = labels[drawn].copy()
            if declines:
                later = np.arange(OUTCOMES) >= OUTCOMES // 2
                truth = np.where(later & (random.random(OUTCOMES) < TURNED), 1 - truth, truth)
            kind = "declining" if declines else "honest"
            origin = f'namespace="{kind}",job="{seed}",model="heart-disease",model_version="v1"'
            every = list(cells(probability[drawn], truth))
            for look in range(LOOK_EVERY, OUTCOMES + 1, LOOK_EVERY):
                at = START + look // LOOK_EVERY * MINUTE
                quality = assess(system.declaration, every[:look])
                for (predicted, true), rows in quality.outcomes.items():
                    sample_labels = f'predicted="{predicted}",outcome="{true}"'
                    lines.setdefault("model_outcomes", []).append(f"{{{origin},{sample_labels}}} {rows} {at}")
                for metric, estimate in quality.metrics.items():
                    low, high = estimate.intervals["0.9999"]
                    sample_labels = f'metric="{metric}"'
                    bounds = {"model_quality_lower": low, "model_quality_upper": high}
                    for name, value in bounds.items():
                        lines.setdefault(name, []).append(
                            f'{{{origin},{sample_labels},confidence_level="0.9999"}} {value} {at}'
                        )
                    lines.setdefault("model_quality_expected", []).append(
                        f"{{{origin},{sample_labels}}} {card[metric]} {at}"
                    )
    for name, found in lines.items():
        yield f"# TYPE {name} gauge"
        yield from (f"{name}{line}" for line in found)
    yield "# EOF"


def test_twenty_declines_raise_the_alert_and_twenty_honest_streams_do_not(tmp_path: Path) -> None:
    file = tmp_path / "samples"
    file.write_text("\n".join(samples(System("heart-disease"))) + "\n", encoding="utf-8")
    promtool("tsdb", "create-blocks-from", "openmetrics", "--quiet", str(file), str(tmp_path / "data"))
    (rule,) = (
        rule
        for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
        if rule["alert"] == "ModelQualityBelowCard"
    )
    looks = OUTCOMES // LOOK_EVERY
    raised = f"count by (namespace, job) (count_over_time(({rule['expr']})[{looks}m:1m]))"
    with Prometheus(tmp_path, {}, "--storage.tsdb.retention.time=100y") as prometheus:
        found = [labels for labels, _ in prometheus.query(raised, START + looks * MINUTE + 1)]
        late = f"max by (namespace) (count_over_time(({rule['expr']})[{looks // 2}m:1m]))"
        early = prometheus.query(late, START + looks * MINUTE // 2 + 1)
    assert [raised_for["job"] for raised_for in found if raised_for["namespace"] == "honest"] == []
    assert len([raised_for for raised_for in found if raised_for["namespace"] == "declining"]) == STREAMS
    assert not early
