"""Trains the next version of a model, and writes it only where a gate lets it pass.

The candidate is judged by cross-validation, so on each row by a pipeline that has not seen it. The served
version answers the same rows; those that it learnt from are answered for it by cross-validation, too. What is
served stays served: whoever wants the new version tries it as a candidate (docs/rollout.md).

`python -m training.retrain --model heart-disease --data FILE [--served v1] [--seen FILE]`

With `--models-from` the models' folders are a volume that has versions alone (training/volume.py).
"""

import fcntl
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from bundle.declaration import Declaration, VersionDeclaration, load_declaration
from bundle.encoding import Encoder, Matrix
from bundle.manifest import PIPELINE_FILE, Manifest, load_manifest
from training.build import Recipe, TrainingData, build_version, load_recipe, load_rows, write_card
from training.cli import exit_code, parser, rows_file
from training.compare import (
    LOWER_IS_BETTER,
    Difference,
    answers,
    compare,
    figures_of,
    interval,
    table,
    verdict,
)
from training.evaluation import group_members, out_of_fold
from training.figures import Floats, Labels, Scores, calibration, miss_rate, resampling_weights
from training.table import DataError
from training.volume import check_volume, fill

ROWS_A_FEATURE = 10
"""Rows of the rarest class for each feature: with fewer, coefficients say little (Peduzzi et al., 1996)."""

MOST_TWICE = 0.05
"""Share of rows that may stand in the data before: a row that is learnt and asked about flatters."""

LEAST_POSITIVES = 10
"""Groups with fewer positive rows are not judged by their miss rate."""

BASELINES = 200
"""Rows on which directions are checked, at most."""

REFUSED = 3
"""Exit code where the gate lets nothing pass."""

Say = Callable[[str], None]


class RefusedError(Exception):
    """The gate does not let the new version pass; the message says why."""


@dataclass(frozen=True)
class Judged:
    """Rows, and what both versions say about them: probabilities [repeats, rows, classes] each."""

    declaration: Declaration
    recipe: Recipe
    data: TrainingData
    served: Floats
    candidate: Floats


def retrain(
    folder: Path,
    data: Path | None,
    served: str | None,
    seen: Path | None,
    say: Say,
    *,
    source: Path | None = None,
) -> str:
    """Write the next version beside the others, and return its name; RefusedError says why it is not written.

    `seen` is the file that the served version learnt from, where that is not the model's own data. `source`
    has the recipe and the model's own data, where that is not `folder`.
    """
    origin = source or folder
    declaration, recipe = load_declaration(folder), load_recipe(origin)
    manifest = load_manifest(folder / (served or declaration.default_version), declaration)
    estimator, name = declared_estimator(manifest, declaration), next_version(folder, declaration)
    rows, labels, digest = load_rows(origin, declaration, recipe, data)
    given = TrainingData(rows, Encoder(declaration).encode(rows), labels, digest)

    def build() -> Pipeline:
        return recipe.build_pipeline(estimator, declaration)

    check_rows(declaration, given)
    direct = answers(folder / manifest.version, manifest, given.matrix)
    check_labels(declaration, direct, labels, manifest.version)
    say(f"{len(rows)} rows; {estimator} as {name}, against {manifest.version}, by cross-validation")
    candidate = out_of_fold(build, given.matrix, labels, len(declaration.classes))
    if digest == manifest.data.sha256:
        known_out_of_fold = candidate  # the recipe is the same, and so are all rows
    else:
        known = learnt_from(origin, declaration, recipe, manifest, seen)
        if known is None:
            say(f"what {manifest.version} learnt from is not here: all rows count as new to it (SEEN=FILE)")
        known_out_of_fold = unseen(direct, given, known, build)
    judged = Judged(declaration, recipe, given, known_out_of_fold, candidate)
    differences = compare(declaration, labels, judged.served, candidate)
    say(table(differences, manifest.version, name))
    say(verdict(differences, manifest.version, name))
    check_figures(differences, manifest, judged)
    if declaration.binary:
        check_calibration(judged)
        check_groups(judged)
        check_directions(declaration, build().fit(given.matrix, labels), given.matrix)
    write_version(folder / name, estimator, judged, say, keep_pipeline=origin == folder)
    return name


def declared_estimator(manifest: Manifest, declaration: Declaration) -> str:
    """Return what made a version, by a name that model.toml has; DataError where it has no such name."""
    name = manifest.estimator.name
    if name not in {version.estimator for version in declaration.versions.values()}:
        raise DataError(
            f"bundle.json of {manifest.version} names an estimator that model.toml does not: train it again"
        )
    return name


def check_rows(declaration: Declaration, data: TrainingData) -> None:
    """Refuse rows that are too few to learn from, or of which too many stand there twice."""
    counts = np.bincount(data.labels, minlength=len(declaration.classes))
    rarest, needed = int(counts.argmin()), ROWS_A_FEATURE * len(declaration.features)
    if counts[rarest] < needed:
        raise RefusedError(
            f"too few rows: {counts[rarest]} of '{declaration.labels[rarest]}' where {needed} are needed, "
            f"{ROWS_A_FEATURE} for each feature"
        )
    twice = 1 - len(set(row_keys(data))) / len(data.rows)
    if twice > MOST_TWICE:
        raise RefusedError(f"duplicated rows: {twice:.0%} stand in the data before, {MOST_TWICE:.0%} may")


def check_labels(declaration: Declaration, direct: Floats, labels: Labels, served: str) -> None:
    """Refuse labels that the served version gets wrong more often than chance would."""
    figures = figures_of(declaration, labels, direct[None], resampling_weights(len(labels)))
    name, chance = ("auc", 0.5) if declaration.binary else ("accuracy", 1 / len(declaration.classes))
    if np.nanpercentile(figures[name][1:], 97.5) < chance:
        raise RefusedError(
            f"labels look inverted: {served} has {name} {figures[name][0]:.2f} on them, chance {chance:.2f}"
        )


def check_figures(differences: list[Difference], manifest: Manifest, judged: Judged) -> None:
    """Refuse a candidate that is worse than the served version, or than its card, beyond noise."""
    for it in differences:
        if it.worse:
            raise RefusedError(
                f"worse beyond noise: {it.figure} {it.second:.4f} where {manifest.version} has "
                f"{it.first:.4f} ({it.low:+.4f} to {it.high:+.4f})"
            )
    figures = figures_of(
        judged.declaration, judged.data.labels, judged.candidate, resampling_weights(len(judged.data.labels))
    )
    for name, values in figures.items():
        card = manifest.evaluation.figures.get(name)
        if card is None:
            continue
        low, high = np.nanpercentile(values[1:], [2.5, 97.5])
        noise = np.hypot((high - low) / 2, (card.high - card.low) / 2)
        less = values[0] - card.value if name in LOWER_IS_BETTER else card.value - values[0]
        if less > noise:
            raise RefusedError(
                f"worse than the card beyond noise: {name} {values[0]:.4f} on these rows, where "
                f"{manifest.version} had {card.value:.4f} on its own; are columns mixed up, or labels "
                "of another kind?"
            )


def check_calibration(judged: Judged) -> None:
    """Refuse a candidate whose forecasts are further off than the served version's, beyond noise."""
    served, candidate = (
        np.mean([calibration(it) for it in scores(judged, its)], axis=0)
        for its in (judged.served, judged.candidate)
    )
    for place, (name, ideal) in enumerate((("intercept", 0), ("slope", 1))):
        further = np.abs(candidate[place] - ideal) - np.abs(served[place] - ideal)
        if interval(further, 2)[0] > 0:
            raise RefusedError(
                f"calibration degrades: its {name} is {candidate[place][0]:.2f}, the served version's "
                f"{served[place][0]:.2f}, and {ideal} would be right"
            )


def check_groups(judged: Judged) -> None:
    """Refuse a candidate that misses more of a declared group than the served version does, beyond noise."""
    labels = judged.data.labels
    groups = [
        (f"{feature}: {group}", member)
        for feature, group, member in group_members(judged.declaration, judged.data.matrix)
        if labels[member].sum() >= LEAST_POSITIVES
    ]
    for name, member in groups:
        served, candidate = (
            np.mean([miss_rate(it) for it in scores(judged, its, member)], axis=0)
            for its in (judged.served, judged.candidate)
        )
        if interval(candidate - served, len(groups))[0] > 0:
            raise RefusedError(
                f"misses more of a group: {candidate[0]:.0%} of {name}, where the served version misses "
                f"{served[0]:.0%}"
            )


def check_directions(declaration: Declaration, pipeline: Pipeline, matrix: Matrix) -> None:
    """Refuse a candidate that does not rise, on average, along values that the declaration calls rising."""
    rows = matrix[:: max(1, len(matrix) // BASELINES)]
    for place, feature in enumerate(declaration.features):
        for values in feature.rising:
            means = []
            for value in values:
                changed = rows.copy()
                changed[:, place] = feature.encode(value)
                means.append(float(pipeline.predict_proba(changed)[:, 1].mean()))
            for (low, high), (before, after) in zip(pairwise(values), pairwise(means), strict=True):
                if after <= before:
                    raise RefusedError(
                        f"a direction is wrong: '{declaration.labels[1]}' becomes no likelier from {low} "
                        f"to {high} of {feature.name} ({before:.3f} to {after:.3f})"
                    )


def scores(judged: Judged, probabilities: Floats, member: NDArray[np.bool_] | None = None) -> list[Scores]:
    """Return the scores of each repeat, of all rows or of some."""
    labels, threshold = judged.data.labels, judged.declaration.threshold or 0.0
    weights = resampling_weights(len(labels))
    chosen = np.ones(len(labels), dtype=bool) if member is None else member
    return [Scores(labels[chosen], it[chosen, 1], weights[:, chosen], threshold) for it in probabilities]


def row_keys(data: TrainingData) -> list[bytes]:
    """Return what tells rows apart: their values and their class."""
    return [row.tobytes() + bytes([label]) for row, label in zip(data.matrix, data.labels, strict=True)]


def learnt_from(
    folder: Path, declaration: Declaration, recipe: Recipe, manifest: Manifest, seen: Path | None
) -> TrainingData | None:
    """Return the rows that a version learnt from; None where they are not here."""
    if seen is None and declaration.data_file is None and not hasattr(recipe, "generate_data"):
        return None
    rows, labels, digest = load_rows(folder, declaration, recipe, seen)
    if digest == manifest.data.sha256:
        return TrainingData(rows, Encoder(declaration).encode(rows), labels, digest)
    if seen:
        raise DataError(f"{seen} is not the file that {manifest.version} learnt from: its sha256 differs")
    return None


def unseen(
    direct: Floats, given: TrainingData, known: TrainingData | None, build: Callable[[], Pipeline]
) -> Floats:
    """Return the served version's answers [repeats, rows, classes], out of fold where it knows the row."""
    places = {} if known is None else {key: place for place, key in enumerate(row_keys(known))}
    found = [(row, places[key]) for row, key in enumerate(row_keys(given)) if key in places]
    if known is None or not found:
        return direct[None]
    crossed = out_of_fold(build, known.matrix, known.labels, direct.shape[1])
    served = np.repeat(direct[None], len(crossed), axis=0)
    rows, its = zip(*found, strict=True)
    served[:, rows] = crossed[:, its]
    return served


def next_version(folder: Path, declaration: Declaration) -> str:
    there = {*declaration.versions, *(path.name for path in folder.glob("v[1-9]*"))}
    return f"v{1 + max(int(name[1:]) for name in there if re.fullmatch('v[0-9]+', name))}"


def write_version(path: Path, estimator: str, judged: Judged, say: Say, *, keep_pipeline: bool) -> None:
    """Write a version's bundle, its declaration and the card; a version that is there is there whole."""
    folder, name = path.parent, path.name
    versions = judged.declaration.versions | {name: VersionDeclaration(estimator=estimator)}
    declaration = judged.declaration.model_copy(update={"versions": versions})
    with tempfile.TemporaryDirectory(prefix=".new-", dir=folder) as place:
        new = Path(place)
        (new / name).mkdir()
        build_version(
            new / name, declaration, judged.recipe, judged.data, say, probabilities=judged.candidate
        )
        if not keep_pipeline:
            (new / name / PIPELINE_FILE).unlink(missing_ok=True)
        (new / name).rename(path)
        declared = (folder / "model.toml").read_text(encoding="utf-8")
        (new / "model.toml").write_text(
            f'{declared.rstrip()}\n\n[versions.{name}]\nestimator = "{estimator}"\n', encoding="utf-8"
        )
        (new / "model.toml").replace(folder / "model.toml")
    say(f"wrote {path}")
    write_card(folder, declaration, say)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep other runs out of the model's folder meanwhile; DataError where one is there."""
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataError(f"another run is retraining {folder}: try again when it has ended") from None
        yield
    finally:
        os.close(place)


def main(arguments: Sequence[str] | None = None) -> int:
    command = parser("training.retrain", "Train the next version, and write it where it is no worse.")
    command.add_argument("--served", help="the version to compare with (the model's default)")
    command.add_argument(
        "--seen",
        type=rows_file,
        help="what it learnt from, as --data (the model's own data)",
    )
    command.add_argument(
        "--models-from",
        type=Path,
        help="where recipe, data and declaration are, if --models-dir is a volume with versions alone; "
        "it is filled from there",
    )
    options = command.parse_args(arguments)
    folder = options.models_dir / options.model
    source = (options.models_from or options.models_dir) / options.model

    def work() -> None:
        if source != folder:
            fill(folder, source)
        with alone(folder):
            if source != folder:
                check_volume(folder, source, print)
            name = retrain(folder, options.data, options.served, options.seen, print, source=source)
        print(f"{name} is written. {options.served or 'The served version'} goes on being served.")

    try:
        return exit_code(work)
    except RefusedError as refusal:
        print(f"refused: {refusal}", file=sys.stderr)
        return REFUSED


if __name__ == "__main__":
    sys.exit(main())
