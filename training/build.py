"""Builds versions of a model: evaluates, fits, exports, checks, and writes bundles and the card."""

import importlib.metadata
import importlib.util
import io
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import joblib
import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json
from sklearn.pipeline import Pipeline

from bundle.additive import ADDITIVE_FILE
from bundle.bins import all_bins, score
from bundle.declaration import Declaration, load_declaration
from bundle.encoding import Encoder, Matrix
from bundle.errors import BundleError
from bundle.manifest import (
    CARD_FILE,
    FORMAT,
    MANIFEST_FILE,
    MODEL_FILE,
    PIPELINE_FILE,
    Data,
    Estimator,
    Manifest,
    load_manifest,
    sealed,
    sha256,
)
from training.additive import derive
from training.card import plots, render_card, render_page
from training.distribution import describe, describe_score, quantiles
from training.evaluation import FOLDS, evaluate, out_of_fold
from training.export import check_parity, export, generate_rows
from training.figures import Floats
from training.probes import make_probes
from training.table import DataError, Rows

LIBRARIES = ["numpy", "scikit-learn", "skl2onnx", "onnx", "onnxruntime", "joblib", "matplotlib"]


class Recipe(Protocol):
    """What a model's recipe.py offers: `generate_data` where the model declares no data.

    Both return rows and the label of each: the order of classes stands in model.toml alone.
    """

    load_data: Callable[[Path, Declaration], tuple[Rows, Sequence[str]]]
    generate_data: Callable[[Declaration], tuple[Rows, Sequence[str]]]
    build_pipeline: Callable[[str, Declaration], Pipeline]


def build(folder: Path, version: str | None, data: Path | None, say: Callable[[str], None]) -> list[Manifest]:
    """Write `folder/<version>/` for one version or for all, and `folder/CARD.md` of every version there is.

    The same input gives the same bytes again.
    """
    declaration = load_declaration(folder)
    if version is not None and version not in declaration.versions:
        raise DataError(
            f"model.toml declares no version '{version}'; it has {', '.join(declaration.versions)}"
        )
    recipe = load_recipe(folder)
    rows, labels, digest = load_rows(folder, declaration, recipe, data)
    check_classes(declaration, labels)
    if version is None:
        check_same_rows(folder, declaration)
    training = TrainingData(rows, Encoder(declaration).encode(rows), labels, digest)
    built = []
    for name in [version] if version else declaration.versions:
        built.append(build_version(folder / name, declaration, recipe, training, say))
        say(f"wrote {folder / name}")
    write_card(folder, declaration, say)
    return built


def check_same_rows(folder: Path, declaration: Declaration) -> None:
    """Refuse to train all versions from the same rows where they learnt from different ones.

    Else one that was retrained would be replaced, under its name, by one that knows fewer rows.
    """
    learnt: dict[str, str] = {}
    for name in declaration.versions:
        with suppress(BundleError):  # what cannot be served may be replaced
            learnt[name] = load_manifest(folder / name, declaration).data.sha256
    first = next(iter(learnt), "")
    for name, digest in learnt.items():
        if digest != learnt[first]:
            raise DataError(
                f"{name} learnt from other rows than {first}, and all versions would be trained from the "
                f"same: name the one to train (VERSION={first})"
            )


def write_card(folder: Path, declaration: Declaration, say: Callable[[str], None]) -> None:
    """Write `folder/CARD.md` of every version there is."""
    there = [name for name in declaration.versions if (folder / name).is_dir()]
    card = render_card(declaration, [load_manifest(folder / name, declaration) for name in there])
    (folder / "CARD.md").write_text(card, encoding="utf-8")
    say(f"wrote {folder / 'CARD.md'}")


@dataclass(frozen=True)
class TrainingData:
    """Rows as clients send them, their matrix [rows, features], the class of each, and their origin."""

    rows: Rows
    matrix: Matrix
    labels: NDArray[np.int64]
    sha256: str


def build_version(
    folder: Path,
    declaration: Declaration,
    recipe: Recipe,
    data: TrainingData,
    say: Callable[[str], None],
    *,
    probabilities: Floats | None = None,
) -> Manifest:
    """Evaluate, fit, export and check one version, and write its bundle.

    `probabilities` are those out of fold [repeats, rows, classes], where they are known.
    """
    estimator = declaration.versions[folder.name].estimator
    rows, matrix, labels = data.rows, data.matrix, data.labels
    say(f"{len(rows)} rows, {len(declaration.features)} features; {estimator} as {folder.name}")

    if probabilities is None:
        probabilities = out_of_fold(
            lambda: recipe.build_pipeline(estimator, declaration), matrix, labels, len(declaration.classes)
        )
    evaluation = evaluate(declaration, matrix, labels, probabilities)
    for name, figure in evaluation.figures.items():
        say(f"  {name:22} {figure.value:7.4f}  ({figure.low:.4f} to {figure.high:.4f})")

    pipeline = recipe.build_pipeline(estimator, declaration).fit(matrix, labels)
    model = export(pipeline, len(declaration.features))
    generated = generate_rows(declaration)
    difference = check_parity(pipeline, model, [matrix, generated])
    say(
        f"ONNX against scikit-learn: {difference:.2g} apart at most, on {len(rows)} and {len(generated)} rows"
    )

    files = {MODEL_FILE: model}
    additive = derive(pipeline, declaration, [matrix, generated])
    if additive is not None:
        files[ADDITIVE_FILE] = additive.model_dump_json(indent=1).encode() + b"\n"
        say(f"the model adds up: it is served from {ADDITIVE_FILE}")
    distribution = describe(declaration, matrix)
    scored = describe_score(score(probabilities.reshape(-1, len(declaration.classes))))
    manifest = Manifest(
        schema_version=FORMAT,
        sha256=64 * "0",
        declaration=sha256(declaration.deciding),
        model=declaration.name,
        version=folder.name,
        estimator=Estimator(name=estimator, type=type(pipeline[-1]).__name__),
        classes=declaration.labels,
        features=declaration.feature_names,
        threshold=declaration.threshold,
        files=hashes(files),
        inspected={},
        data=Data(sha256=data.sha256, rows=len(rows)),
        libraries={name: importlib.metadata.version(name) for name in LIBRARIES},
        evaluation=evaluation,
        distribution=distribution,
        score=scored,
        chi_square=quantiles(all_bins(declaration.features, distribution, scored)),
        probes=make_probes(declaration, distribution, pipeline),
    )
    drawn = plots(declaration, evaluation)
    files |= {CARD_FILE: render_page(declaration, manifest, drawn)}
    inspected = drawn | {PIPELINE_FILE: _joblib(pipeline)}
    manifest = manifest.model_copy(update={"files": hashes(files), "inspected": hashes(inspected)})
    document = sealed(from_json(manifest.model_dump_json()))
    _write(folder, files | inspected, document)
    return Manifest.model_validate(document)


def load_rows(
    folder: Path, declaration: Declaration, recipe: Recipe, data: Path | None
) -> tuple[Rows, NDArray[np.int64], str]:
    """Return rows, the class of each, and the sha256 of their file, or of the generated rows as JSON."""
    if data is None and declaration.data_file is not None:
        data = folder / declaration.data_file
    if data is not None:
        if data.exists() and not data.is_file():  # a pipe or a device may never end
            raise DataError(f"{data} is not a regular file: give a CSV file")
        rows, named = recipe.load_data(data, declaration)
        return rows, class_indexes(declaration, rows, named), sha256(data.read_bytes())
    if not hasattr(recipe, "generate_data"):
        raise DataError(
            f"'{declaration.name}' comes without its data: give it with DATA=FILE. {declaration.data_source}"
        )
    rows, named = recipe.generate_data(declaration)
    labels = class_indexes(declaration, rows, named)
    return rows, labels, sha256(json.dumps([rows, labels.tolist()]).encode())


def class_indexes(declaration: Declaration, rows: Rows, named: Sequence[str]) -> NDArray[np.int64]:
    """Return the class index of each label that a recipe returned; DataError where that is none."""
    if len(rows) == 0:
        raise DataError("recipe.py returns no rows")
    if len(named) != len(rows):
        raise DataError(f"recipe.py returns {len(rows)} rows and {len(named)} labels: one for each is needed")
    places = {label: place for place, label in enumerate(declaration.labels)}
    try:
        return np.array([places[label] for label in named], dtype=np.int64)
    except (KeyError, TypeError):  # a list, say, cannot be looked up
        raise DataError(
            "recipe.py must return the class of each row by its label, one of "
            f"{', '.join(places)}: only model.toml says in which order they stand"
        ) from None


def check_classes(declaration: Declaration, labels: NDArray[np.int64]) -> None:
    """Refuse rows of which a class has so few that some fold of the evaluation has none."""
    counts = np.bincount(labels, minlength=len(declaration.classes)).tolist()
    for count, (target, label) in zip(counts, declaration.targets.items(), strict=True):
        if count < FOLDS:
            column = f" ({target} in the column '{declaration.target}')" if declaration.target else ""
            raise DataError(f"{count} rows are '{label}'{column}: training needs {FOLDS} of each class")


def load_recipe(folder: Path) -> Recipe:
    """Import `folder/recipe.py`, whose folder is not a package."""
    spec = importlib.util.spec_from_file_location(
        f"recipe_{folder.name.replace('-', '_')}", folder / "recipe.py"
    )
    if spec is None or spec.loader is None or not (folder / "recipe.py").is_file():
        raise DataError(f"{folder / 'recipe.py'} is missing")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return cast("Recipe", module)


def hashes(files: Mapping[str, bytes]) -> dict[str, str]:
    return {name: sha256(content) for name, content in files.items()}


def _joblib(pipeline: Pipeline) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(pipeline, buffer)
    return buffer.getvalue()


def _write(folder: Path, files: dict[str, bytes], document: dict[str, Any]) -> None:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / MANIFEST_FILE).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
