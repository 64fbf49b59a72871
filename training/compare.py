"""Compares two versions of a model on the same labelled rows, figure by figure and row by row.

Both are resampled together, so that what the rows have in common does not blur the difference. Intervals hold
together at 95 % (Bonferroni): a figure's is wider where more figures are looked at.

`python -m training.compare --model churn --a v1 --b v2 --data FILE`
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bundle.declaration import Declaration, load_declaration
from bundle.encoding import Encoder, Matrix
from bundle.errors import BundleError
from bundle.manifest import MODEL_FILE, Manifest, load_manifest, read_files
from bundle.runtime import Session, UnusableModelError
from training.build import load_recipe, load_rows
from training.cli import exit_code, parser
from training.figures import (
    Floats,
    Labels,
    Scores,
    accuracy,
    auc,
    brier,
    miss_rate,
    resampling_weights,
)

CHANCES = 0.05
"""Share of comparisons of two equal versions in which one of the intervals may miss 0."""

LOWER_IS_BETTER = {"brier"}


@dataclass(frozen=True)
class Difference:
    """A figure of both versions, and by how much the second's is larger, with its interval."""

    figure: str
    first: float
    second: float
    value: float
    low: float
    high: float

    @property
    def better(self) -> bool:
        return self.high < 0 if self.figure in LOWER_IS_BETTER else self.low > 0

    @property
    def worse(self) -> bool:
        return self.low > 0 if self.figure in LOWER_IS_BETTER else self.high < 0


def compare(declaration: Declaration, labels: Labels, first: Floats, second: Floats) -> list[Difference]:
    """Return how the second version's figures differ; probabilities are [repeats, rows, classes]."""
    weights = resampling_weights(len(labels))
    mine, theirs = (figures_of(declaration, labels, its, weights) for its in (first, second))
    found = []
    for name in mine:
        difference = theirs[name] - mine[name]
        values = (mine[name][0], theirs[name][0], difference[0], *interval(difference, len(mine)))
        found.append(Difference(name, *(float(it) for it in values)))
    return found


def interval(values: Floats, looks: int) -> tuple[float, float]:
    """Return the interval of [1 + resamples] values, one of several that hold together at 95 %."""
    tail = 100 * CHANCES / looks / 2
    low, high = np.nanpercentile(values[1:], [tail, 100 - tail])
    return float(low), float(high)


def figures_of(
    declaration: Declaration, labels: Labels, probabilities: Floats, weights: Floats
) -> dict[str, Floats]:
    """Return each figure that is compared, for the rows themselves and every resample [1 + resamples]."""
    threshold = declaration.threshold
    per_row = {"brier": brier} if declaration.binary else {"accuracy": accuracy, "brier": brier}
    found: dict[str, Floats] = {}
    if threshold is not None:
        scores = [Scores(labels, repeat[:, 1], weights, threshold) for repeat in probabilities]
        found["auc"] = np.mean([auc(it) for it in scores], axis=0)
        found["sensitivity"] = np.mean([1 - miss_rate(it) for it in scores], axis=0)
    for name, figure in per_row.items():
        mean = np.mean([figure(labels, repeat, threshold) for repeat in probabilities], axis=0)
        found[name] = weights @ mean / weights.sum(axis=1)
    return found


def verdict(differences: list[Difference], first: str, second: str) -> str:
    """Return in a sentence which of two versions is better."""
    better = " and ".join(it.figure for it in differences if it.better)
    worse = " and ".join(it.figure for it in differences if it.worse)
    if better and worse:
        return f"{second} is better than {first} in {better}, and worse in {worse}."
    if better or worse:
        how = "better" if better else "worse"
        return f"{second} is {how} than {first} in {better or worse}, beyond noise."
    return f"No figure of {second} differs from {first}'s beyond noise on these rows."


def table(differences: list[Difference], first: str, second: str) -> str:
    lines = [f"{'':12}{first:>9}{second:>9}   difference (interval)"]
    lines += [
        f"{it.figure:12}{it.first:9.4f}{it.second:9.4f}   {it.value:+.4f} ({it.low:+.4f} to {it.high:+.4f})"
        for it in differences
    ]
    return "\n".join(lines)


def compare_versions(folder: Path, first: str, second: str, data: Path | None) -> str:
    """Return a table of both versions' figures on the rows of a file (the model's own), and a verdict."""
    declaration = load_declaration(folder)
    manifests = [load_manifest(folder / name, declaration) for name in (first, second)]
    rows, labels, digest = load_rows(folder, declaration, load_recipe(folder), data)
    matrix = Encoder(declaration).encode(rows)
    probabilities = [answers(folder / it.version, it, matrix)[None] for it in manifests]
    differences = compare(declaration, labels, *probabilities)
    said = f"{len(rows)} rows\n{table(differences, first, second)}\n{verdict(differences, first, second)}"
    trained = [it.version for it in manifests if it.data.sha256 == digest]
    if trained:
        said += (
            f"\nBeware: {' and '.join(trained)} learnt from these very rows, and looks better on them than "
            "on others. Compare on rows that neither has seen: DATA=FILE."
        )
    return said


def answers(folder: Path, manifest: Manifest, matrix: Matrix) -> Floats:
    """Return a version's probabilities [rows, classes]; BundleError where its files are not whole."""
    model = read_files(folder, manifest)[MODEL_FILE]
    try:
        return Session(model).run(matrix).astype(np.float64)
    except UnusableModelError as error:
        raise BundleError(f"{folder / MODEL_FILE} cannot be loaded: {error}") from error


def main(arguments: Sequence[str] | None = None) -> int:
    command = parser("training.compare", "Compare two versions of a model on labelled rows.")
    command.add_argument("--a", required=True, help="the version to compare with")
    command.add_argument("--b", required=True, help="the version to compare")
    options = command.parse_args(arguments)
    folder = options.models_dir / options.model
    return exit_code(lambda: print(compare_versions(folder, options.a, options.b, options.data)))


if __name__ == "__main__":
    sys.exit(main())
