"""How often the gate refuses honest retrainings, and lets damaged ones through.

`python -m bench honesty` writes the table between the marks in docs/rollout.md. Each seed draws the rows of a
served version and as many new ones from one population (bench/gate_rows.py), and damages those in turn.
`python -m bench.gate_honesty SYSTEM SEEDS` judges so many seeds of one system, and prints its lines alone.
"""

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from sklearn.pipeline import Pipeline

from bench.gate_rows import DAMAGES, Population, Rows, population
from bench.load import PROJECT
from bench.ours import progress
from bench.tables import with_tables
from bundle.encoding import Matrix
from training.data import TrainingData
from training.distribution import describe
from training.evaluation import evaluate, out_of_fold
from training.fitting import fit, predict_classes
from training.gate import Comparison, GateError, check_labels, check_rows
from training.judgement import Reference, check_gate, check_kind
from training.metrics import Floats
from training.noise import fit_halves
from training.predictions import Predictions
from training.read_rows import ReadRows

PAGE = PROJECT / "docs" / "rollout.md"
RESULTS = PROJECT / "docs" / "gate.json"


@dataclass(frozen=True)
class System:
    """A version to retrain: its population, and whether the rows that it was trained on are here."""

    population: str
    estimator: str = "logistic_regression"
    seen: bool = True


FIRST_SEED = 100
"""The error rates of training/gate.py were chosen on earlier ones."""

SYSTEMS = {
    "heart-disease v1": System("heart-disease"),
    "heart-disease v1, 606 rows": System("heart-disease, 606 rows"),
    "iris v1": System("iris"),
    "churn v1": System("churn"),
    "churn v1, without its rows": System("churn", seen=False),
    "churn v2": System("churn", "gradient_boosting"),
    "fraud v1": System("fraud", "gradient_boosting"),
}
SEEDS = 100

Say = Callable[[str], None]
Lines = dict[str, dict[str, Counter[str]]]


@dataclass(frozen=True)
class Served:
    """A version as it is served: fitted to its rows, with the card that its cross-validation gives it."""

    population: Population
    system: System
    rows: TrainingData
    pipeline: Pipeline
    reference: Reference

    def build(self) -> Pipeline:
        return self.population.recipe.build_pipeline(self.system.estimator, self.population.declaration)

    def predict(self, matrix: Matrix) -> Floats:
        return predict_classes(self.pipeline, matrix, len(self.population.declaration.classes))


def training_data(rows: Rows) -> TrainingData:
    matrix, labels = rows
    return TrainingData(ReadRows([{}] * len(labels)), matrix, labels, "")


def serve(drawn: Population, system: System, rows: Rows) -> Served:
    declaration, (matrix, labels) = drawn.declaration, rows

    def build() -> Pipeline:
        return drawn.recipe.build_pipeline(system.estimator, declaration)

    evaluation = evaluate(
        declaration, matrix, labels, out_of_fold(build, matrix, labels, len(declaration.classes))
    )
    reference = Reference(declaration, "v1", "v2", len(labels), evaluation, describe(declaration, matrix))
    return Served(drawn, system, training_data(rows), fit(build(), matrix, labels), reference)


def reason(served: Served, rows: Rows) -> str | None:
    """Return why a retraining on these rows fails, up to the colon, or None if it passes."""
    data, declaration = training_data(rows), served.population.declaration
    direct, classes = served.predict(data.matrix), len(declaration.classes)
    trained = served.rows if served.system.seen else None
    try:
        check_rows(declaration, data)
        check_labels(Predictions.of(declaration, data.labels, direct[None]), "v1")
        check_kind(served.reference, data, direct, trained, lambda _: None)
        candidate = out_of_fold(served.build, data.matrix, data.labels, classes)
        comparison = Comparison(
            data.matrix,
            *Predictions.pair(declaration, data.labels, direct[None], candidate),
            fit_halves(served.build, data.matrix, data.labels, classes),
            served.reference.rows,
        )
        fitted = fit(served.build(), data.matrix, data.labels) if declaration.binary else None
        check_gate(served.reference, data, comparison, served.predict, fitted, lambda _: None)
    except GateError as error:
        return str(error).partition(":")[0]
    return None


def judge(system: str, seed: int, damages: Collection[str] = DAMAGES) -> Iterator[tuple[str, str | None]]:
    """Yield for each damage whether a retraining passes (None), or why not."""
    drawn = population(SYSTEMS[system].population)
    before, after = drawn.draw(np.random.default_rng(seed))
    served = serve(drawn, SYSTEMS[system], before)
    for number, (damage, change) in enumerate(DAMAGES.items()):
        if damage in damages and (drawn.declaration.groups or damage != "misses hidden in a group"):
            yield (
                damage,
                reason(served, change(drawn.declaration, after, np.random.default_rng([seed, number]))),
            )


def count(system: str, seeds: Iterable[int], say: Say) -> None:
    """Keep for each damage how often retrainings passed, or failed by reason, after every seed."""
    counts: dict[str, Counter[str]] = {}
    for seed in seeds:
        for damage, why in judge(system, seed):
            counts.setdefault(damage, Counter())[why or "passed"] += 1
        keep(system, counts)
        say(f"{system}, seed {seed}: " + json.dumps({name: dict(found) for name, found in counts.items()}))


def seeds_of(number: int) -> range:
    return range(FIRST_SEED, FIRST_SEED + number)


def run(say: Say) -> None:
    """Judge all systems, write docs/gate.json, and its table into docs/rollout.md."""
    for system in SYSTEMS:
        if system.startswith("churn") and not os.environ.get("CHURN_DATA"):
            say(f"{system} is left out: CHURN_DATA names no file")
        else:
            count(system, seeds_of(SEEDS), say)


def keep(system: str, counts: dict[str, Counter[str]]) -> None:
    """Write the counts of one system into docs/gate.json, and all into the page."""
    kept = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    kept[system] = {damage: dict(found.most_common()) for damage, found in counts.items()}
    kept = {name: kept[name] for name in SYSTEMS if name in kept}
    RESULTS.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    page = with_tables(PAGE.read_text(encoding="utf-8"), {"gate honesty": lines(kept)})
    PAGE.write_text(page, encoding="utf-8")


def lines(kept: dict[str, dict[str, dict[str, int]]]) -> Iterator[str]:
    yield "| model | rows | retrainings that pass | why the others fail |"
    yield "|---|---|---|---|"
    for system, damages in kept.items():
        for damage, found in damages.items():
            reasons = ", ".join(f"{why} {number}" for why, number in found.items() if why != "passed")
            yield (
                f"| {system} | {damage} | {found.get('passed', 0)} of {sum(found.values())} "
                f"| {reasons or 'none fails'} |"
            )


if __name__ == "__main__":
    count(sys.argv[1], seeds_of(int(sys.argv[2])), progress)
