"""Trains the next version of a model, and writes it only if it passes a gate (training/gate.py).

The candidate predicts each row by cross-validation, so by a pipeline that has not seen the row. The served
version predicts the same rows; those that it was trained on are predicted by cross-validation, too. Nothing
changes for what is served: the new version can then be tried as a candidate (docs/rollout.md).

`python -m training.retrain --model heart-disease --data FILE [--served v1] [--seen FILE]`

With `--models-from`, the models' folders are a volume that holds only versions (training/volume.py).
"""

import argparse
import fcntl
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from sklearn.pipeline import Pipeline

from bundle.declaration import Declaration, load_declaration, model_folder
from bundle.manifest import PIPELINE_FILE, Manifest, load_manifest
from training import Say
from training.agreement import Predict
from training.build import build_version, write_card
from training.cli import exit_code, parser, rows_file
from training.compare import predictor
from training.data import TrainingData, load_recipe, load_training_data
from training.evaluation import out_of_fold
from training.fitting import fit
from training.gate import Comparison, GateError, check_labels, check_rows, row_keys
from training.judgement import Reference, check_gate, check_kind
from training.memory import Cost
from training.metrics import Floats
from training.noise import fit_halves
from training.predictions import Predictions
from training.preparation import check_classes, check_columns
from training.recipe import Recipe
from training.replacing import replace_file, replaced_folder
from training.table import DataError
from training.versions import appended, with_version
from training.volume import check_volume, fill

GATE_FAILED = 3
"""Exit code if the candidate fails."""


@dataclass(frozen=True)
class Retraining:
    """What the next version is made from, and the version that it is compared with.

    `folder` holds the versions; `source` holds the recipe and the model's own data, often the same folder.
    """

    folder: Path
    source: Path
    declaration: Declaration
    recipe: Recipe
    served: Manifest
    estimator: str
    name: str
    say: Say

    @property
    def reference(self) -> Reference:
        return Reference(
            self.declaration,
            self.served.version,
            self.name,
            self.served.data.rows,
            self.served.evaluation,
            self.served.distribution,
        )

    def build_pipeline(self) -> Pipeline:
        return self.recipe.build_pipeline(self.estimator, self.declaration)

    def out_of_fold(self, data: TrainingData) -> Floats:
        """Return probabilities [repeats, rows, classes] by pipelines that have not seen the row."""
        return out_of_fold(self.build_pipeline, data.matrix, data.labels, len(self.declaration.classes))


def retrain(
    folder: Path,
    data: Path | None,
    served: str | None,
    seen: Path | None,
    say: Say,
    *,
    source: Path | None = None,
    allow_few_rows: bool = False,
) -> str:
    """Write the next version and return its name; GateError has the reason if it is not written.

    `seen` is the file that the served version was trained on, unless that is the model's own data. `source`
    has the recipe and the model's own data, unless that is `folder`. Few rows that are allowed are written
    into the bundle and on the card.
    """
    run = _prepare(folder, source or folder, served, say)
    rows = load_training_data(run.source, run.declaration, run.recipe, data)
    rows = replace(rows, few=check_rows(run.declaration, rows, allow_few=allow_few_rows))
    check_classes(run.declaration, rows.labels)
    check_columns(run.declaration, rows)
    predict = predictor(folder / run.served.version, run.served)
    direct = predict(rows.matrix)
    check_labels(Predictions.of(run.declaration, rows.labels, direct[None]), run.served.version)
    trained = load_seen(run, seen)
    check_kind(run.reference, rows, direct, trained, say)
    count, against = len(rows.rows), run.served.version
    say(f"{count} rows; {run.estimator} as {run.name}, against {against}, by cross-validation")
    candidate = run.out_of_fold(rows)
    known = (
        candidate
        if rows.sha256 == run.served.data.sha256
        else _served_out_of_fold(run, rows, direct, trained)
    )
    judge(run, rows, known, candidate, predict)
    write_version(run, rows, candidate)
    return run.name


def _prepare(folder: Path, source: Path, served: str | None, say: Say) -> Retraining:
    declaration = load_declaration(folder)
    manifest = load_manifest(folder / (served or declaration.default_version), declaration)
    estimator, name = declared_estimator(manifest, declaration), next_version(folder, declaration)
    appended(folder / "model.toml", name, estimator)  # fails before anything is fitted
    return Retraining(
        folder=folder,
        source=source,
        declaration=declaration,
        recipe=load_recipe(source),
        served=manifest,
        estimator=estimator,
        name=name,
        say=say,
    )


def declared_estimator(manifest: Manifest, declaration: Declaration) -> str:
    """Return the name of a version's estimator; DataError if model.toml does not declare it."""
    name = manifest.estimator.name
    if name not in {version.estimator for version in declaration.versions.values()}:
        raise DataError(
            f"bundle.json of {manifest.version} names an estimator that model.toml does not: train it again"
        )
    return name


def next_version(folder: Path, declaration: Declaration) -> str:
    """Return the number after the highest that is declared or has a folder, as `v<number>`."""
    names = {*declaration.versions, *(path.name for path in folder.glob("v[1-9]*"))}
    return f"v{1 + max(int(name[1:]) for name in names if re.fullmatch('v[0-9]+', name))}"


def judge(run: Retraining, data: TrainingData, served: Floats, candidate: Floats, predict: Predict) -> None:
    """Fit what the gate needs, and ask it; GateError if the candidate fails."""
    classes = len(run.declaration.classes)
    comparison = Comparison(
        data.matrix,
        *Predictions.pair(run.declaration, data.labels, served, candidate),
        fit_halves(run.build_pipeline, data.matrix, data.labels, classes),
        run.served.data.rows,
    )
    fitted = fit(run.build_pipeline(), data.matrix, data.labels) if run.declaration.binary else None
    check_gate(run.reference, data, comparison, predict, fitted, run.say)


def _served_out_of_fold(
    run: Retraining, data: TrainingData, direct: Floats, trained_on: TrainingData | None
) -> Floats:
    """Return the served version's probabilities [repeats, rows, classes], out of fold for its own rows."""
    if trained_on is None:
        run.say(
            f"the training data of {run.served.version} are not here: all rows count as unseen (SEEN=FILE)"
        )
        return direct[None]
    indexes = {key: index for index, key in enumerate(row_keys(trained_on))}
    known = [(row, indexes[key]) for row, key in enumerate(row_keys(data)) if key in indexes]
    if not known:
        return direct[None]
    crossed = run.out_of_fold(trained_on)
    probabilities = np.repeat(direct[None], len(crossed), axis=0)
    rows, trained_rows = zip(*known, strict=True)
    probabilities[:, rows] = crossed[:, trained_rows]
    return probabilities


def load_seen(run: Retraining, seen: Path | None) -> TrainingData | None:
    """Return the rows that the served version was trained on; None if they are not here."""
    if seen is None and run.declaration.data_file is None and not run.recipe.generates:
        return None
    data = load_training_data(run.source, run.declaration, run.recipe, seen)
    if data.sha256 == run.served.data.sha256:
        return data
    if seen:
        raise DataError(
            f"{seen} is not the file that {run.served.version} was trained on: its sha256 differs"
        )
    return None


def write_version(run: Retraining, data: TrainingData, candidate: Floats) -> None:
    """Write bundle, declaration and card of the new version; its folder appears only when complete."""
    declaration = with_version(run.declaration, run.name, run.estimator)
    path, toml = run.folder / run.name, run.folder / "model.toml"
    declared = appended(toml, run.name, run.estimator)
    with replaced_folder(path) as new:
        build_version(new, declaration, run.recipe, data, run.say, probabilities=candidate)
        if run.source != run.folder:  # a pipeline is code to whoever loads it
            (new / PIPELINE_FILE).unlink(missing_ok=True)
    replace_file(toml, declared)
    run.say(f"wrote {path}")
    write_card(run.folder, declaration, run.say)


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Keep other runs out of the model's folder; DataError if another run holds it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataError(f"another run is retraining {folder}: try again when it has ended") from None
        yield
    finally:
        os.close(descriptor)


def _command() -> argparse.ArgumentParser:
    command = parser("training.retrain", "Train the next version, and write it if it passes the gate.")
    command.add_argument("--served", help="the version to compare with (the model's default)")
    command.add_argument(
        "--seen", type=rows_file, help="the file it was trained on, as --data (the model's own data)"
    )
    command.add_argument(
        "--allow-few-rows",
        action="store_true",
        help="let too few rows of a class pass, which the card then says",
    )
    command.add_argument(
        "--models-from",
        type=Path,
        help="where recipe, data and declaration are, if --models-dir is a volume that holds only versions; "
        "an empty volume is filled from there",
    )
    return command


def main(arguments: Sequence[str] | None = None) -> int:
    options = _command().parse_args(arguments)
    cost = Cost()

    def work() -> None:
        folder = model_folder(options.models_dir, options.model)
        source = model_folder(options.models_from or options.models_dir, options.model)
        if source != folder:
            fill(folder, source)
        with lock_folder(folder):
            if source != folder:
                check_volume(folder, source, print)
            name = retrain(
                folder,
                options.data,
                options.served,
                options.seen,
                print,
                source=source,
                allow_few_rows=options.allow_few_rows,
            )
        print(f"retrained {cost}")
        print(f"{name} is written. {options.served or 'The served version'} is still served.")

    try:
        return exit_code(work)
    except GateError as reason:
        print(f"gate failed: {reason}", file=sys.stderr)
        return GATE_FAILED


if __name__ == "__main__":
    sys.exit(main())
