"""Builds versions of a model: evaluates, fits, exports and checks them, and writes bundles and the card."""

import importlib.metadata
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic_core import from_json
from sklearn.pipeline import Pipeline

from bundle.bins import all_bins
from bundle.declaration import Declaration
from bundle.errors import BundleError
from bundle.evaluation import Evaluation
from bundle.manifest import (
    CARD_FILE,
    FORMAT,
    MANIFEST_FILE,
    PIPELINE_FILE,
    Data,
    Estimator,
    Imported,
    Manifest,
    load_manifest,
    sealed,
    sha256,
)
from bundle.score import scores
from training import Say
from training.baseline import remarks
from training.card import plots, render_card, render_page
from training.data import TrainingData, load_recipe
from training.distribution import describe, describe_score, quantiles
from training.evaluation import evaluate, out_of_fold
from training.export import export_files
from training.failures import FailedVersions
from training.fitting import fit, pickled
from training.metrics import Floats
from training.preparation import check_data, check_declaration, check_fit, class_rows, few_rows
from training.probes import make_probes
from training.recipe import Recipe
from training.replacing import replace_file, replaced_folder
from training.table import DataError

LIBRARIES = ["numpy", "scikit-learn", "skl2onnx", "onnx", "onnxruntime", "joblib", "matplotlib"]


def build(folder: Path, version: str | None, data: Path | None, say: Say) -> list[Manifest]:
    """Write `folder/<version>/` for one version or for all, and `folder/CARD.md` of all existing versions.

    Before anything is evaluated, a quick fit of each version is exported. A version that fails does not stop
    the others: in the end, an ExceptionGroup has every failure. The same input gives the same bytes.
    """
    declaration = check_declaration(folder, quiet)
    if version is not None and version not in declaration.versions:
        raise DataError(
            f"model.toml declares no version '{version}'; it has {', '.join(declaration.versions)}"
        )
    recipe = load_recipe(folder)
    training = check_data(folder, declaration, recipe, data, quiet)
    if version is None:
        check_same_rows(folder, declaration)
    names = [version] if version else list(declaration.versions)
    failed = FailedVersions()
    quick = few_rows(declaration, training)
    for name in names:
        with failed.collected(name):
            check_fit(name, declaration, recipe, quick, quiet)
    manifests = []
    for name in (name for name in names if name not in failed.failures):
        with failed.collected(name):
            with replaced_folder(folder / name) as new:
                manifest = build_version(new, declaration, recipe, training, say)
            manifests.append(manifest)
            say(f"wrote {folder / name}")
    if manifests:
        write_card(folder, declaration, say)
    failed.raise_all()
    return manifests


def quiet(_: str) -> None:
    """Say nothing."""


def check_same_rows(folder: Path, declaration: Declaration) -> None:
    """Refuse to train all versions from the same rows if the existing ones were trained on different rows.

    Otherwise training would replace a retrained version by one that was trained on fewer rows.
    """
    digests: dict[str, str] = {}
    for name in declaration.versions:
        with suppress(BundleError):  # a version that cannot be served may be replaced
            digests[name] = load_manifest(folder / name, declaration).data.sha256
    first = next(iter(digests), "")
    for name, digest in digests.items():
        if digest != digests[first]:
            raise DataError(
                f"{name} was trained on other rows than {first}, and all versions would now be trained on "
                f"the same rows: name the one to train (VERSION={first})"
            )


def write_card(folder: Path, declaration: Declaration, say: Say) -> None:
    """Write `folder/CARD.md` of all existing versions."""
    replace_file(folder / "CARD.md", model_card(folder, declaration))
    say(f"wrote {folder / 'CARD.md'}")


def model_card(folder: Path, declaration: Declaration, new: Manifest | None = None) -> str:
    """Return the card of all existing versions, and of one that is about to be written."""
    manifests = []
    for name in declaration.versions:
        if new is not None and name == new.version:
            manifests.append(new)
        elif (folder / name).is_dir():
            manifests.append(load_manifest(folder / name, declaration))
    return render_card(declaration, manifests)


def build_version(
    folder: Path,
    declaration: Declaration,
    recipe: Recipe,
    data: TrainingData,
    say: Say,
    *,
    probabilities: Floats | None = None,
) -> Manifest:
    """Evaluate, fit, export and check one version, and write its bundle.

    `probabilities` are those out of fold [repeats, rows, classes], if they have been computed already.
    """
    estimator = declaration.versions[folder.name].estimator
    say(f"{len(data.rows)} rows, {len(declaration.features)} features; {estimator} as {folder.name}")

    def build_pipeline() -> Pipeline:
        return recipe.build_pipeline(estimator, declaration)

    if probabilities is None:
        probabilities = out_of_fold(build_pipeline, data.matrix, data.labels, len(declaration.classes))
    evaluation = evaluate(declaration, data.matrix, data.labels, probabilities)
    say_metrics(evaluation, say)
    for remark in remarks(class_rows(declaration, data.labels)):
        say(f"  {remark}")
    pipeline = fit(build_pipeline(), data.matrix, data.labels)
    files = export_files(pipeline, declaration, data.matrix, say)
    return write_bundle(
        folder,
        declaration,
        data,
        pipeline=pipeline,
        estimator=type(pipeline[-1]).__name__,
        files=files,
        inspected={PIPELINE_FILE: pickled(pipeline)},
        evaluation=evaluation,
        probabilities=probabilities,
    )


def say_metrics(evaluation: Evaluation, say: Say) -> None:
    for name, estimate in evaluation.metrics.items():
        say(f"  {name:22} {estimate.value:7.4f}  ({estimate.lower:.4f} to {estimate.upper:.4f})")


def write_bundle(
    folder: Path,
    declaration: Declaration,
    data: TrainingData,
    *,
    pipeline: Pipeline,
    estimator: str,
    files: Mapping[str, bytes],
    inspected: Mapping[str, bytes],
    evaluation: Evaluation,
    probabilities: Floats,
    imported: Imported | None = None,
) -> Manifest:
    """Write the bundle of a fitted pipeline and its exported files, with card and manifest.

    `estimator` is the name of its class, `probabilities` are [repeats, rows, classes].
    """
    manifest = _describe(
        folder.name,
        declaration,
        data,
        pipeline=pipeline,
        estimator=estimator,
        evaluation=evaluation,
        probabilities=probabilities,
    ).model_copy(update={"imported": imported})
    served = {**files, CARD_FILE: render_page(declaration, manifest)} | plots(declaration, evaluation)
    manifest = manifest.model_copy(update={"files": hashes(served), "inspected": hashes(inspected)})
    document = sealed(from_json(manifest.model_dump_json()))
    _write(folder, {**served, **inspected}, document)
    return Manifest.model_validate(document)


def _describe(
    version: str,
    declaration: Declaration,
    data: TrainingData,
    *,
    pipeline: Pipeline,
    estimator: str,
    evaluation: Evaluation,
    probabilities: Floats,
) -> Manifest:
    """Return the manifest of a version, its files and its seal excepted."""
    distribution = describe(declaration, data.matrix)
    score = describe_score(scores(probabilities.reshape(-1, len(declaration.classes))))
    return Manifest(
        schema_version=FORMAT,
        sha256=64 * "0",
        declaration=sha256(declaration.deciding),
        model=declaration.name,
        version=version,
        estimator=Estimator(name=declaration.versions[version].estimator, type=estimator),
        classes=declaration.labels,
        features=declaration.feature_names,
        threshold=declaration.threshold,
        files={},
        inspected={},
        data=Data(sha256=data.sha256, rows=len(data.rows), few=data.few),
        libraries={name: importlib.metadata.version(name) for name in LIBRARIES},
        evaluation=evaluation,
        distribution=distribution,
        score=score,
        chi_square=quantiles(all_bins(declaration.features, distribution, score)),
        probes=make_probes(declaration, distribution, pipeline),
    )


def hashes(files: Mapping[str, bytes]) -> dict[str, str]:
    return {name: sha256(content) for name, content in files.items()}


def _write(folder: Path, files: dict[str, bytes], document: dict[str, Any]) -> None:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / MANIFEST_FILE).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
