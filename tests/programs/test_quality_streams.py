"""The alerts on quality, as a real Prometheus evaluates them on what the server shows.

They are raised by a decline, and by nothing in honest outcomes; and the simulation of docs/feedback.md
(bench/quality_rules.py) says the same of the same outcomes at each look.
"""

from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from bench.prometheus import Prometheus, promtool
from bench.quality_rules import SHIPPED, bounds
from bench.quality_streams import Cells, Floats, History, Population, heart
from bench.quality_streams import cells as summed
from bundle.manifest import load_manifest
from serving.feedback.coverage import coverage
from serving.feedback.expectation import expected
from serving.feedback.outcomes import Cell
from serving.feedback.quality import Quality, assess
from serving.feedback.quality_gauges import Values, coverage_values, earlier_values, quality_values
from tests.harness import HEART, PROJECT
from tests.systems import System

RULES = PROJECT / "monitoring" / "rules" / "quality.yaml"
STREAMS = 20
OUTCOMES, EARLIER = 2500, 5000
LOOK_EVERY = 250
LOOKS = OUTCOMES // LOOK_EVERY
START = 1_750_000_000
MINUTE = 60
NAMES = ("no_disease", "disease")
KINDS = {"honest": 0.0, "declining": 0.6, "selective": 0.0}
"""Kind of stream -> part of the sensitivity that is lost in its second half."""


def drawn(kind: str, seed: int) -> NDArray[np.int64]:
    """Return numbers of rows [looks, kinds of rows] in the window, which fills up."""
    random = np.random.default_rng(seed)
    later = heart().with_lower_sensitivity(KINDS[kind])
    shares = [(heart() if look < LOOKS // 2 else later).share for look in range(LOOKS)]
    return np.cumsum([random.multinomial(LOOK_EVERY, share) for share in shares], axis=0)


def earlier_rows(seed: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, 1]).multinomial(EARLIER, heart().share)


def cells(kinds: Population, numbers: NDArray[np.int64]) -> Iterator[Cell]:
    """Yield outcomes as the store would aggregate them."""
    for predicted, true, error, rows in zip(
        kinds.predicted, kinds.true, kinds.error, numbers.tolist(), strict=True
    ):
        squared = (rows * float(error), rows * float(error) ** 2)
        yield Cell("v1", NAMES[predicted], NAMES[true], 0, rows, 0.0, *squared, origin="o")


def called_positive(kinds: Population, kind: str, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the outcomes that are reported: of selective ones only those of called positives."""
    return numbers * kinds.predicted if kind == "selective" else numbers


def card_values() -> dict[str, dict[str, float]]:
    card = expected(load_manifest(HEART / "v1", System("heart-disease").declaration), threshold=0.5)
    return {
        "model_quality_expected_lower": {metric: entry.interval[0] for metric, entry in card.items()},
        "model_quality_expected_upper": {metric: entry.interval[1] for metric, entry in card.items()},
    }


def shown(kind: str, earlier: Quality, numbers: NDArray[np.int64]) -> Values:
    """Return what the server shows of a window."""
    declaration, kinds = System("heart-disease").declaration, heart()
    reported = list(cells(kinds, called_positive(kinds, kind, numbers)))
    predictions = {name: int(numbers[kinds.predicted == place].sum()) for place, name in enumerate(NAMES)}
    return (
        quality_values(assess(declaration, reported))
        | earlier_values(earlier)
        | coverage_values(coverage(predictions, reported))
    )


def samples() -> Iterator[str]:
    """Yield the metrics of each stream at every look, as OpenMetrics by name."""
    lines: dict[str, list[str]] = {}
    declaration, card = System("heart-disease").declaration, card_values()
    for kind in KINDS:
        for seed in range(STREAMS):
            origin = f'namespace="{kind}",job="{seed}",model="heart-disease",model_version="v1"'
            earlier = assess(declaration, cells(heart(), earlier_rows(seed)))
            for look, numbers in enumerate(drawn(kind, seed), 1):
                at = START + look * MINUTE
                for (concept, values), value in shown(kind, earlier, numbers).items():
                    names = zip(concept.dimensions[2:], values, strict=True)
                    labels = "".join(f',{name}="{label}"' for name, label in names)
                    lines.setdefault(concept.common, []).append(f"{{{origin}{labels}}} {value} {at}")
                for name, metrics in card.items():
                    lines.setdefault(name, []).extend(
                        f'{{{origin},metric="{metric}"}} {value} {at}' for metric, value in metrics.items()
                    )
    for name, found in lines.items():
        yield f"# TYPE {name} gauge"
        yield from (f"{name}{line}" for line in found)
    yield "# EOF"


@pytest.fixture(scope="module")
def raised(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[tuple[str, int, int]]]:
    """Return by alert at which looks it was raised: kind of stream, seed, and look."""
    folder = tmp_path_factory.mktemp("streams")
    file = folder / "samples"
    file.write_text("\n".join(samples()) + "\n", encoding="utf-8")
    promtool("tsdb", "create-blocks-from", "openmetrics", "--quiet", str(file), str(folder / "data"))
    rules = {
        rule["alert"]: rule["expr"]
        for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
    }
    found: dict[str, set[tuple[str, int, int]]] = {name: set() for name in SHIPPED}
    with Prometheus(folder, {}, "--storage.tsdb.retention.time=100y") as prometheus:
        for name, moments in found.items():
            for look in range(1, LOOKS + 1):
                # the value of a look lasts until the next
                answer = prometheus.query(rules[name], START + look * MINUTE + 1)
                moments |= {(labels["namespace"], int(labels["job"]), look) for labels, _ in answer}
    return found


@cache
def card_rows() -> Floats:
    """Return numbers of rows whose intervals are those of the card."""
    return heart().share * 303


def simulated(name: str, kind: str, seed: int) -> list[int]:
    """Return at which looks the simulation raises an alert."""
    kinds, numbers = heart(), drawn(kind, seed)
    reported = called_positive(kinds, kind, numbers)
    before = np.broadcast_to(earlier_rows(seed), numbers.shape)
    present, earlier, predictions = (summed(kinds, rows) for rows in (reported, before, numbers))
    history = History(
        card=summed(kinds, card_rows()),
        exact=False,
        received=present,
        present=present,
        predictions=predictions.rows.sum(axis=-1),
        earlier=earlier,
        earlier_predictions=earlier.rows.sum(axis=-1),
        since_start=present,
    )
    return [look for look, flag in enumerate(SHIPPED[name](history), 1) if flag]


def test_no_honest_stream_raises_an_alert(raised: dict[str, set[tuple[str, int, int]]]) -> None:
    assert not [moment for moments in raised.values() for moment in moments if moment[0] == "honest"]


def test_every_decline_raises_both_alerts_once_it_has_begun(
    raised: dict[str, set[tuple[str, int, int]]],
) -> None:
    for name in ("ModelQualityBelowCard", "ModelQualityDeclined"):
        declines = {moment for moment in raised[name] if moment[0] == "declining"}
        assert {seed for _, seed, _ in declines} == set(range(STREAMS))
        assert min(look for *_, look in declines) > LOOKS // 2


def test_selective_outcomes_are_named_and_raise_no_other_alert(
    raised: dict[str, set[tuple[str, int, int]]],
) -> None:
    others = raised["ModelQualityBelowCard"] | raised["ModelQualityDeclined"]
    assert not [moment for moment in others if moment[0] == "selective"]
    assert raised["ModelOutcomesSelective"] == {
        ("selective", seed, look) for seed in range(STREAMS) for look in range(1, LOOKS + 1)
    }


@pytest.mark.parametrize("name", ["ModelQualityDeclined", "ModelOutcomesSelective"])
def test_prometheus_agrees_with_the_simulation_at_each_look(
    raised: dict[str, set[tuple[str, int, int]]], name: str
) -> None:
    """That on the card needs the card's own rows; its bounds are compared below."""
    expected_moments = {
        (kind, seed, look)
        for kind in KINDS
        for seed in range(STREAMS)
        for look in simulated(name, kind, seed)
    }
    assert expected_moments
    assert raised[name] == expected_moments


def test_the_cards_bounds_are_those_of_the_simulation() -> None:
    rows = summed(heart(), card_rows())
    assert isinstance(rows, Cells)
    card = card_values()
    for metric, (low, high) in bounds(rows, 3.290527, more=0).items():
        tolerance = 0.01 if metric == "brier" else 0.005  # the card's Brier score has a bootstrap interval
        assert card["model_quality_expected_lower"][metric] == pytest.approx(low, abs=tolerance)
        assert card["model_quality_expected_upper"][metric] == pytest.approx(high, abs=tolerance)
