"""Imports what is trained already, without fitting it again, into a bundle that can be served.

Command line: `python -m training.importing --model credit --file pipeline.joblib --data labelled.csv`.
From a notebook: `export(pipeline, frame, "default", "models/credit")`.
"""

import io
import re
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import ValidationError

from bundle.declaration import VERSION, Declaration, TableFormat, load_declaration, model_folder
from bundle.encoding import Matrix
from bundle.errors import BundleError
from bundle.evaluation import Evaluation
from bundle.manifest import Imported, Manifest, load_manifest, sha256
from training import Say
from training.baseline import remarks
from training.build import model_card, say_metrics, write_bundle, write_card
from training.cli import exit_code, parser
from training.content import format_of, read_content
from training.data import TrainingData, class_indexes
from training.distribution import describe
from training.drafting import Table, declared_folder, snake_case
from training.evaluation import FOLDS, evaluate
from training.export import generate_rows, served_files
from training.frames import FrameModel, declared_threshold, labels_of, rows_of
from training.imported import check_unlisted, proven
from training.metrics import Floats
from training.onnx_file import OnnxModel
from training.preparation import class_rows
from training.read_rows import as_read
from training.registered import trained_file
from training.replacing import replace_file, replaced_folder
from training.resampling import intervals_of
from training.sources import Source, classifier, read_source
from training.table import SEPARATOR_LINE, DataError, read_table
from training.versions import appended, with_version

ROUNDED = 1e-4
"""How far a threshold in model.toml may be from the maker's: people round it."""


def export(
    pipeline: Any,
    frame: pd.DataFrame,
    target: str,
    folder: str | Path,
    *,
    version: str | None = None,
    say: Say = print,
) -> Manifest:
    """Write a fitted pipeline as a version of the model in `folder`; a missing model.toml is drafted.

    `frame` has labelled rows, with the columns that the pipeline was fitted on and the column `target`: the
    metrics rest on them. DataError, ParityError, BundleError or InvalidRowsError say why it cannot be served.
    """
    if not isinstance(frame, pd.DataFrame):
        raise DataError(
            f"the labelled rows are a {type(frame).__name__}: give a pandas DataFrame, with named columns "
            f"and the class in '{target}'"
        )
    source = Source(type(pipeline).__name__, b"", classifier(pipeline))
    if target not in frame.columns:
        raise DataError(f"the frame lacks the column '{target}': it has {', '.join(map(str, frame.columns))}")
    content = frame.to_csv(index=False).encode()
    table = Table(Path("the frame"), content, target)
    with declared_folder(Path(folder), table, source, say) as (place, tell):
        declaration = load_declaration(place)
        labels, rows = labels_of(declaration, frame[target]), as_read(rows_of(declaration, frame))
        data = TrainingData(rows, rows.matrix(declaration), labels, sha256(content))
        return _Import(place, declaration, source, frame, data, version, tell).run()


def import_file(
    folder: Path,
    file: Path,
    data: Path,
    say: Say,
    *,
    target: str | None = None,
    version: str | None = None,
    trust: bool = False,
    classes: Sequence[str] = (),
) -> Manifest:
    """Write what a file holds as a version of the model in `folder`, judged on a table of labelled rows.

    A missing model.toml is drafted from the table, which needs the name of the column with the class.
    `classes` names those of an ONNX file in the order of its probabilities, if it does not do so itself.
    """
    source = read_source(file, trust=trust)
    if classes and not isinstance(source.model, bytes):
        raise DataError(f"{file} names its classes itself: leave CLASSES out")
    content = read_content(data)
    with declared_folder(folder, Table(data, content, target), source, say) as (place, tell):
        declaration = load_declaration(place)
        rows, labels = read_table(data, declaration)
        matrix = rows.matrix(declaration)
        training = TrainingData(
            rows, matrix, class_indexes(declaration, rows, labels), sha256(data.read_bytes())
        )
        frame = read_frame(content, format_of(data, declaration.table))
        if len(frame) != len(rows):
            raise DataError(f"{data} has {len(rows)} rows, pandas reads {len(frame)}: save it again as CSV")
        return _Import(place, declaration, source, frame, training, version, tell, classes).run()


def read_frame(content: bytes, table: TableFormat) -> pd.DataFrame:
    """Return a table as pandas reads it, with the missing values that [table] declares and no others."""
    frame = pd.read_csv(
        io.BytesIO(content),
        sep=table.separator,
        encoding=table.encoding,
        decimal=table.decimal,
        na_values=["", *(f"{blank}{text}" for text in table.missing for blank in ("", " "))],
        keep_default_na=False,
        low_memory=False,
        skiprows=1 if SEPARATOR_LINE.match(content[:64].decode(table.encoding, "replace")) else 0,
    )
    return frame.rename(columns=str.strip)


@dataclass(frozen=True)
class _Import:
    """One version on its way from a source into a bundle; `frame` and `data` hold the same labelled rows."""

    folder: Path
    declaration: Declaration
    source: Source
    frame: pd.DataFrame
    data: TrainingData
    named: str | None
    say: Say
    classes: Sequence[str] = ()

    @property
    def version(self) -> str:
        return self.named or self.declaration.default_version

    @cached_property
    def model(self) -> FrameModel | OnnxModel:
        if isinstance(self.source.model, bytes):
            rows = np.vstack(self.matrices)
            return OnnxModel(self.source.model, self.declaration, rows, self.classes)
        return FrameModel(self.source.model, self.declaration, self.frame)

    @cached_property
    def probabilities(self) -> Floats:
        """What the imported model says of the labelled rows [rows, classes]."""
        if isinstance(self.model, OnnxModel):
            return self.model.predict_proba(self.data.matrix)
        return self.model.probabilities(self.frame)

    @cached_property
    def matrices(self) -> list[Matrix]:
        """The labelled rows and generated ones, on which the served model must agree with the imported."""
        distribution = describe(self.declaration, self.data.matrix)
        return [self.data.matrix, generate_rows(self.declaration, distribution)]

    def run(self) -> Manifest:
        check_version(self.folder, self.declaration, self.version)
        check_labels(self.declaration, self.data)
        check_threshold(self.declaration, self.source.model)
        check_unlisted(self.model, self.frame, self.data.matrix)
        self.say(f"{len(self.data.rows)} rows, {len(self.declaration.features)} features; {self.source.name}")
        for remark in self.source.remarks:
            self.say(remark)
        model = self._proven()
        declaration, declared = declare(self.folder, self.declaration, self.version, self.model.estimator)
        evaluation = self._evaluation()
        say_metrics(evaluation, self.say)
        for remark in remarks(class_rows(self.declaration, self.data.labels)):
            self.say(f"  {remark}")
        files = served_files(self.model, declaration, self.matrices, model, self.say)
        manifest = self._write(declaration, files, evaluation)
        if declared is not None:
            replace_file(self.folder / "model.toml", declared)
        self.say(f"wrote {self.folder / self.version}")
        write_card(self.folder, declaration, self.say)
        return manifest

    def _write(self, declaration: Declaration, files: dict[str, bytes], evaluation: Evaluation) -> Manifest:
        """Write the bundle; nothing is written where the card could not be."""
        content = self.source.content
        with replaced_folder(self.folder / self.version) as new:
            manifest = write_bundle(
                new,
                declaration,
                self.data,
                pipeline=self.model,
                estimator=self.model.estimator,
                files=files,
                inspected={},
                evaluation=evaluation,
                probabilities=self.probabilities[None],
                imported=Imported(source=self.source.name, sha256=sha256(content) if content else None),
            )
            model_card(self.folder, declaration, manifest)
        return manifest

    def _proven(self) -> bytes:
        model, said = proven(self.model, self.declaration, self.matrices, self.probabilities)
        self.say(said)
        return model

    def _evaluation(self) -> Evaluation:
        """Evaluate once, on the rows given: nothing is fitted, so nothing is out of fold."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)
                evaluation = evaluate(
                    self.declaration, self.data.matrix, self.data.labels, self.probabilities[None]
                )
        except ValidationError:  # a metric that is no number
            listed = ", ".join(feature.column for feature in self.declaration.features)
            raise DataError(
                "the model's probabilities of the labelled rows are so extreme, or so much the same, that "
                f"they cannot be evaluated: does it read the columns in the order {listed}, in these units?"
            ) from None
        remarks = "".join(f", {remark}" for remark in self.source.remarks)
        method = (
            f"Imported from {self.source.name}{remarks}, not trained here. Metrics of {len(self.data.rows)} "
            "labelled rows given with it; whether the model saw them in training is not known. "
            + intervals_of(len(self.data.rows))
        )
        return evaluation.model_copy(update={"method": method})


def check_version(folder: Path, declaration: Declaration, version: str) -> None:
    """Reject a name that is none, and one under which a version is that was trained here."""
    if not re.fullmatch(VERSION, version):
        raise DataError(f"'{version}' is no version: name it v1, v2 and so on")
    try:
        existing = load_manifest(folder / version, declaration)
    except BundleError:
        return  # a version that cannot be served may be replaced
    if existing.imported is None:
        raise DataError(f"{folder / version} was trained here, and stays as it is: name another, such as v2")


def check_threshold(declaration: Declaration, model: Any) -> None:
    """Reject a threshold in model.toml that is not the one that the pipeline's maker set."""
    threshold = None if isinstance(model, bytes) else declared_threshold(declaration, model)
    declared = declaration.threshold
    if threshold is not None and declared is not None and abs(threshold - declared) > ROUNDED:
        raise DataError(
            f"the pipeline answers {declaration.labels[1]} from {threshold:.6g} on, and model.toml from "
            f"{declared:g}: set threshold there, or give the classifier without its threshold (estimator_)"
        )


def check_labels(declaration: Declaration, data: TrainingData) -> None:
    for label, count in class_rows(declaration, data.labels).items():
        if count < FOLDS:
            raise DataError(f"{count} labelled rows are '{label}': metrics need {FOLDS} of each class")


def declare(
    folder: Path, declaration: Declaration, version: str, estimator: str
) -> tuple[Declaration, str | None]:
    """Return the declaration with a version, and the text of model.toml unless it is as it was."""
    if version in declaration.versions:
        return declaration, None
    name = snake_case(estimator)
    return with_version(declaration, version, name), appended(folder / "model.toml", version, name)


def main(arguments: Sequence[str] | None = None) -> int:
    command = parser("training.importing", "Import a trained model into a bundle, without fitting it again.")
    command.add_argument(
        "--file",
        type=trained_file,
        help=".joblib, .pkl, .skops, .onnx, an MLflow model's folder, runs:/RUN/PATH, models:/NAME/2 or "
        "models:/NAME@ALIAS",
    )
    command.add_argument("--target", help="column that holds the class, to draft a missing model.toml")
    command.add_argument("--version", help="version to write (the model's default)")
    command.add_argument(
        "--classes", default="", help="classes of an ONNX file in the order of its probabilities: good,bad"
    )
    command.add_argument("--trust", choices=["yes"], help="open a pickle, which runs code of its maker")
    options = command.parse_args(arguments)

    def work() -> None:
        if options.file is None:
            raise DataError("name the trained model (FILE=pipeline.skops)")
        if options.data is None:
            raise DataError("an imported model is judged on labelled rows: give them (DATA=FILE)")
        import_file(
            model_folder(options.models_dir, options.model),
            options.file,
            options.data,
            print,
            target=options.target,
            version=options.version,
            trust=options.trust is not None,
            classes=[name.strip() for name in options.classes.split(",") if name.strip()],
        )

    return exit_code(work)


if __name__ == "__main__":
    sys.exit(main())
