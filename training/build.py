"""Builds a version of a model: evaluates, fits, exports, checks, and writes the bundle and the card."""

import importlib.metadata
import importlib.util
import io
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, cast

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from bundle.declaration import CategoryFeature, Declaration, load_declaration
from bundle.encoding import Encoder, Matrix
from bundle.manifest import MANIFEST_FILE, MODEL_FILE, Data, Estimator, Manifest, Probe, sha256
from training.card import render_card
from training.distribution import describe
from training.evaluation import evaluate
from training.export import check_parity, export, generate_rows
from training.table import DataError, Rows

LIBRARIES = ["numpy", "scikit-learn", "skl2onnx", "onnx", "onnxruntime", "joblib"]


class Recipe(Protocol):
    """What a model's recipe.py offers."""

    load_data: Callable[[Path, Declaration], tuple[Rows, NDArray[np.int64]]]
    build_pipeline: Callable[[str, Declaration], Pipeline]


def build(folder: Path, version: str | None, data: Path | None, say: Callable[[str], None]) -> Manifest:
    """Write `folder/<version>/` and `folder/CARD.md`; the same input gives the same bytes again."""
    declaration = load_declaration(folder)
    version = version or declaration.default_version
    if version not in declaration.versions:
        raise DataError(
            f"model.toml declares no version '{version}'; it has {', '.join(declaration.versions)}"
        )
    data = data or folder / declaration.data_file
    recipe = load_recipe(folder)
    rows, labels = recipe.load_data(data, declaration)
    matrix = Encoder(declaration).encode(rows)
    estimator = declaration.versions[version].estimator
    say(f"{len(rows)} rows of {data.name}, {len(declaration.features)} features; {estimator} as {version}")

    evaluation = evaluate(declaration, lambda: recipe.build_pipeline(estimator, declaration), matrix, labels)
    for name, figure in evaluation.figures.items():
        say(f"  {name:22} {figure.value:7.4f}  ({figure.low:.4f} to {figure.high:.4f})")

    pipeline = recipe.build_pipeline(estimator, declaration).fit(matrix, labels)
    model = export(pipeline, len(declaration.features))
    generated = generate_rows(declaration)
    difference = check_parity(pipeline, model, [matrix, generated])
    say(
        f"ONNX against scikit-learn: {difference:.2g} apart at most, on {len(rows)} and {len(generated)} rows"
    )

    files = {MODEL_FILE: model, "model.joblib": _joblib(pipeline)}
    manifest = Manifest(
        schema_version=1,
        model=declaration.name,
        version=version,
        estimator=Estimator(name=estimator, type=type(pipeline[-1]).__name__),
        classes=declaration.labels,
        features=declaration.feature_names,
        threshold=declaration.threshold,
        files={name: sha256(content) for name, content in files.items()},
        data=Data(sha256=sha256(data.read_bytes()), rows=len(rows)),
        libraries={name: importlib.metadata.version(name) for name in LIBRARIES},
        evaluation=evaluation,
        distribution=describe(declaration, matrix),
        probes=_probes(declaration, rows, matrix, pipeline),
    )
    _write(folder / version, files, manifest)
    (folder / "CARD.md").write_text(render_card(declaration, manifest), encoding="utf-8")
    say(f"wrote {folder / version} and {folder / 'CARD.md'}")
    return manifest


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


def _joblib(pipeline: Pipeline) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(pipeline, buffer)
    return buffer.getvalue()


def _probes(declaration: Declaration, rows: Rows, matrix: Matrix, pipeline: Pipeline) -> list[Probe]:
    """Return the first row and then each row that shows a category, or a gap, not seen before.

    So a code that is changed in model.toml after training is noticed before the model serves.
    """
    kept: list[int] = []
    seen: set[tuple[str, object]] = set()
    for number, row in enumerate(rows):
        shown = {
            (feature.name, row[feature.name])
            for feature in declaration.features
            if isinstance(feature, CategoryFeature) or row[feature.name] is None
        }
        if not kept or shown - seen:
            kept.append(number)
            seen |= shown
    expected = pipeline.predict_proba(matrix[kept])
    return [
        Probe(row=rows[number], probabilities=[round(float(p), 9) for p in probabilities])
        for number, probabilities in zip(kept, expected, strict=True)
    ]


def _write(folder: Path, files: dict[str, bytes], manifest: Manifest) -> None:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / MANIFEST_FILE).write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")
