"""Compares two versions of a model on the same labelled rows, metric by metric.

Both versions are evaluated on the same resamples: the difference varies less than either metric. The
intervals hold together at 95 % (Bonferroni), so they are wider where more metrics are compared.

`python -m training.compare --model churn --a v1 --b v2 --data FILE`
"""

import sys
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np

from bundle.declaration import Declaration, load_declaration, model_folder
from bundle.encoding import Matrix
from bundle.errors import BundleError
from bundle.manifest import MODEL_FILE, Manifest, load_manifest, read_files
from bundle.runtime import Session, UnusableModelError
from training.cli import exit_code, parser
from training.data import load_recipe, load_rows
from training.metrics import (
    Floats,
    Labels,
    accuracy,
    auc,
    brier,
    false_negative_rate,
)
from training.predictions import Predictions

FAMILY_ERROR_RATE = 0.05
"""Share of comparisons of two equal versions in which some interval may exclude 0."""

LOWER_IS_BETTER = {"brier"}


@dataclass(frozen=True)
class Difference:
    """A metric of two versions, by how much the second's is larger, with its interval and standard error."""

    metric: str
    first: float
    second: float
    value: float
    lower: float
    upper: float
    error: float = 0.0

    @property
    def better(self) -> bool:
        return self.upper < 0 if self.metric in LOWER_IS_BETTER else self.lower > 0

    @property
    def worse(self) -> bool:
        return self.lower > 0 if self.metric in LOWER_IS_BETTER else self.upper < 0


def compare(declaration: Declaration, labels: Labels, first: Floats, second: Floats) -> list[Difference]:
    """Return how the second version's metrics differ; probabilities are [repeats, rows, classes]."""
    return differences_of(*Predictions.pair(declaration, labels, first, second))


def differences_of(first: Predictions, second: Predictions) -> list[Difference]:
    """Return how the second version's metrics differ on the same rows."""
    before, after = compared_metrics(first), compared_metrics(second)
    differences = []
    for name in before:
        difference = after[name] - before[name]
        values = (before[name][0], after[name][0], difference[0], *interval(difference, len(before)))
        differences.append(Difference(name, *map(float, (*values, deviation(difference)))))
    return differences


def interval(values: Floats, comparisons: int) -> tuple[float, float]:
    """Return the interval of [1 + resamples] values; so many of them hold together at 95 %."""
    tail = 100 * FAMILY_ERROR_RATE / comparisons / 2
    lower, upper = np.nanpercentile(values[1:], [tail, 100 - tail])
    return float(lower), float(upper)


def deviation(values: Floats) -> float:
    """Return the standard error of [1 + resamples] values; resamples without a value (NaN) do not count."""
    return float(np.nanstd(values[1:]))


def compared_metrics(predictions: Predictions) -> dict[str, Floats]:
    """Return each metric that is compared, for all rows and every resample [1 + resamples]."""
    if predictions.declaration.binary:
        return {
            "auc": predictions.mean(auc),
            "sensitivity": predictions.mean(lambda scores: 1 - false_negative_rate(scores)),
            "brier": predictions.mean_by_row(brier),
        }
    return {
        name: predictions.mean_by_row(metric) for name, metric in (("accuracy", accuracy), ("brier", brier))
    }


def verdict(differences: list[Difference], first: str, second: str) -> str:
    """Return in a sentence which of two versions is better."""
    better = " and ".join(difference.metric for difference in differences if difference.better)
    worse = " and ".join(difference.metric for difference in differences if difference.worse)
    if better and worse:
        return f"{second} is better than {first} in {better}, and worse in {worse}."
    if better or worse:
        how = "better" if better else "worse"
        return f"{second} is {how} than {first} in {better or worse}, beyond noise."
    return f"No metric of {second} differs from {first}'s beyond noise on these rows."


def table(differences: list[Difference], first: str, second: str) -> str:
    lines = [f"{'':12}{first:>9}{second:>9}   difference (interval)"]
    for difference in differences:
        name, before, after, value, lower, upper, _ = astuple(difference)
        lines.append(f"{name:12}{before:9.4f}{after:9.4f}   {value:+.4f} ({lower:+.4f} to {upper:+.4f})")
    return "\n".join(lines)


def compare_versions(folder: Path, first: str, second: str, data: Path | None) -> str:
    """Return a table of both versions' metrics on the rows of a file (the model's data), and a verdict."""
    declaration = load_declaration(folder)
    manifests = [load_manifest(folder / name, declaration) for name in (first, second)]
    rows, labels, digest = load_rows(folder, declaration, load_recipe(folder), data)
    matrix = rows.matrix(declaration)
    probabilities = [predictor(folder / manifest.version, manifest)(matrix)[None] for manifest in manifests]
    differences = compare(declaration, labels, *probabilities)
    report = f"{len(rows)} rows\n{table(differences, first, second)}\n{verdict(differences, first, second)}"
    trained = [manifest.version for manifest in manifests if manifest.data.sha256 == digest]
    if trained:
        report += (
            f"\nWarning: trained on these rows: {' and '.join(trained)}. Metrics on training data are too "
            "good; compare on rows that neither version has seen: DATA=FILE."
        )
    return report


def predictor(folder: Path, manifest: Manifest) -> Callable[[Matrix], Floats]:
    """Return what gives a version's probabilities [rows, classes] for a matrix.

    BundleError if a file is missing or altered.
    """
    model = read_files(folder, manifest)[MODEL_FILE]
    try:
        session = Session(model)
    except UnusableModelError as error:
        raise BundleError(f"{folder / MODEL_FILE} cannot be loaded: {error}") from error
    return lambda matrix: session.run(matrix).astype(np.float64)


def main(arguments: Sequence[str] | None = None) -> int:
    command = parser("training.compare", "Compare two versions of a model on labelled rows.")
    command.add_argument("--a", required=True, help="the version to compare with")
    command.add_argument("--b", required=True, help="the version to compare")
    options = command.parse_args(arguments)

    def work() -> None:
        folder = model_folder(options.models_dir, options.model)
        print(compare_versions(folder, options.a, options.b, options.data))

    return exit_code(work)


if __name__ == "__main__":
    sys.exit(main())
