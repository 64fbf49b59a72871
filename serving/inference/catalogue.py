"""Finds, verifies and holds models. A bad bundle stops startup; one that breaks later is unavailable."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from bundle.additive import ADDITIVE_FILE, parse_additive
from bundle.card import card_page
from bundle.declaration import Declaration, load_declaration
from bundle.distributions import NumberDistribution
from bundle.encoding import Encoder, Matrix
from bundle.errors import BundleError
from bundle.features import CategoryFeature, Feature, NumberFeature
from bundle.manifest import (
    MANIFEST_FILE,
    PARITY_TOLERANCE,
    Manifest,
    check_inspected,
    load_manifest,
    probe_error,
    read_files,
)
from bundle.score import score, scores
from serving.inference.engine import AdditiveEngine, Engine, EngineError, OnnxEngine
from serving.inference.explanations import AdditiveExplainer, Explainer, Explanation, ShapleyExplainer
from serving.setting_groups import ModelSettings

DECIMALS = 6
"""Probabilities are rounded before the threshold is applied, so that a response is consistent."""


@dataclass(frozen=True, slots=True)
class TrainedRange:
    """A value that the model accepts, and that lies outside the training range of its feature."""

    field: str
    minimum: float
    maximum: float
    unit: str

    def document(self) -> dict[str, Any]:
        unit = f" {self.unit}" if self.unit else ""
        return {
            "field": self.field,
            "trained_minimum": self.minimum,
            "trained_maximum": self.maximum,
            "unit": self.unit,
            "detail": f"the model was trained on {self.minimum:g} to {self.maximum:g}{unit}",
        }


@dataclass(frozen=True, slots=True)
class UnlistedValue:
    """A value of a category with `other` that is not among its codes: it is named nowhere."""

    field: str

    def document(self) -> dict[str, Any]:
        return {"field": self.field, "detail": "the model knows no such category, and takes it as any other"}


RowWarning = TrainedRange | UnlistedValue


@dataclass(slots=True)
class Prediction:
    """What a model predicts for one row: the index of the class, the probability of each, and the score."""

    class_index: int
    probabilities: list[float]
    score: float
    warnings: list[RowWarning]

    @property
    def confidence(self) -> float:
        return self.probabilities[self.class_index]


class ServedModel:
    """A verified version of a model, with the engine that runs it."""

    def __init__(
        self,
        declaration: Declaration,
        manifest: Manifest,
        engine: Engine,
        *,
        explainer: Explainer,
        threshold: float | None,
        card: bytes,
    ) -> None:
        self.declaration = declaration
        self.manifest = manifest
        self.name = declaration.name
        self.version = manifest.version
        self.threshold = manifest.threshold if threshold is None else threshold
        metrics = manifest.evaluation.metrics
        self.health = {name: metrics[metric].value for name, metric in declaration.health.items()}
        self.engine = engine
        self.card = card
        self._explainer = explainer
        self._encoder = Encoder(declaration)
        bounds = [_warned_outside(feature, manifest) for feature in declaration.features]
        self._bounds = [
            (index, low, high, warning)
            for index, (low, high, warning) in enumerate(bounds)
            if math.isfinite(high)
        ]
        self._warnings = [warning for _, _, warning in bounds]
        self._lows = np.array([low for low, _, _ in bounds], dtype=np.float32)
        self._highs = np.array([high for _, high, _ in bounds], dtype=np.float32)

    def encode(self, rows: Sequence[object]) -> Matrix:
        """Return float32 [rows, features]; InvalidRowsError says what is wrong."""
        return self._encoder.encode(rows)

    def encode_row(self, row: object) -> list[float]:
        """Return the values of one row; InvalidRowsError says what is wrong."""
        return self._encoder.encode_row(row)

    def predict_row(self, values: list[float]) -> Prediction:
        """Return the prediction for one encoded row; EngineError where the engine fails."""
        prediction = self._prediction(self.engine.row(values))
        for index, low, high, warning in self._bounds:
            # a missing value is NaN, for which both comparisons are false
            if values[index] < low or values[index] > high:
                prediction.warnings.append(warning)
        return prediction

    def predict(self, matrix: Matrix) -> list[Prediction]:
        """Return a prediction for each row of an encoded matrix; EngineError where the engine fails."""
        predictions = self._predictions(self.engine.probabilities(matrix).astype(np.float64))
        # a missing value is NaN, for which both comparisons are false
        outside = (matrix < self._lows) | (matrix > self._highs)
        if outside.any():
            for row, column in np.argwhere(outside).tolist():
                predictions[row].warnings.append(self._warnings[column])
        return predictions

    def explain(self, values: list[float], prediction: Prediction) -> Explanation:
        """Explain the prediction for one encoded row; EngineError where the engine fails.

        With two classes the log-odds are the positive one's, whatever the model predicts.
        """
        if self.declaration.binary:
            return self._explainer.explain(values, 1, 0)
        probabilities = prediction.probabilities
        others = [index for index in range(len(probabilities)) if index != prediction.class_index]
        against = max(others, key=probabilities.__getitem__)
        return self._explainer.explain(values, prediction.class_index, against)

    def check_probes(self) -> None:
        """Compare the engine's probabilities with training's; EngineError where they differ."""
        matrix = self._encoder.encode([probe.row for probe in self.manifest.probes])
        for number, (probe, probabilities) in enumerate(
            zip(self.manifest.probes, self.engine.probabilities(matrix), strict=True)
        ):
            alone = np.array(self.engine.row(self.encode_row(probe.row)))
            difference = max(probe_error(probe, probabilities), probe_error(probe, alone))
            if not difference < PARITY_TOLERANCE:
                raise EngineError(f"probe row {number} is off by {difference:.2g}")

    def _prediction(self, probabilities: list[float]) -> Prediction:
        if self.threshold is None:
            rounded = [round(p, DECIMALS) for p in probabilities]
            class_index = max(range(len(rounded)), key=rounded.__getitem__)
        else:
            positive = round(probabilities[1], DECIMALS)
            rounded = [round(1 - positive, DECIMALS), positive]
            class_index = int(positive >= self.threshold)
        return Prediction(class_index, rounded, score(rounded, class_index), [])

    def _predictions(self, probabilities: NDArray[np.float64]) -> list[Prediction]:
        """Return what `_prediction` does, for float64 [rows, classes]."""
        rounded = probabilities.round(DECIMALS)
        if self.threshold is None:
            indexes = rounded.argmax(axis=1)
        else:
            indexes = (rounded[:, 1] >= self.threshold).astype(np.intp)
            rounded[:, 0] = (1 - rounded[:, 1]).round(DECIMALS)
        rows = zip(indexes.tolist(), rounded.tolist(), scores(rounded).tolist(), strict=True)
        return [Prediction(*row, []) for row in rows]


Version = TypeVar("Version")
Changed = TypeVar("Changed")


@dataclass(frozen=True)
class ModelVersions(Generic[Version]):
    """The versions of one model that are served; the main one answers under the model's name."""

    main: Version
    others: tuple[Version, ...] = ()

    def __iter__(self) -> Iterator[Version]:
        return iter((self.main, *self.others))

    def map(self, change: Callable[[Version], Changed]) -> "ModelVersions[Changed]":
        return ModelVersions(change(self.main), tuple(change(version) for version in self.others))


@dataclass(frozen=True)
class ServedModels(Generic[Version]):
    """All models that are served; the main one answers at the root, and names the HTTP metrics."""

    main: ModelVersions[Version]
    others: tuple[ModelVersions[Version], ...] = ()

    @property
    def models(self) -> tuple[ModelVersions[Version], ...]:
        return (self.main, *self.others)

    @property
    def versions(self) -> list[Version]:
        """Every version of every model, the main model's main one first."""
        return [version for versions in self.models for version in versions]

    def map(self, change: Callable[[Version], Changed]) -> "ServedModels[Changed]":
        return ServedModels(self.main.map(change), tuple(model.map(change) for model in self.others))


class EngineWrapper(Protocol):
    def __call__(self, engine: Engine, *, candidate: bool) -> Engine: ...


def load_models(settings: ModelSettings, wrap: EngineWrapper) -> ServedModels[ServedModel]:
    """Load every model the settings name; BundleError is meant to stop the process."""
    main, *others = (load_versions(settings.folder / name, settings, wrap) for name in settings.names)
    return ServedModels(main, tuple(others))


def load_versions(folder: Path, settings: ModelSettings, wrap: EngineWrapper) -> ModelVersions[ServedModel]:
    """Load one version (the declared default), and all others that are to be served beside it."""

    def load(version: str | None, *, candidate: bool = False) -> ServedModel:
        return load_model(folder, version, settings.threshold, partial(wrap, candidate=candidate))

    main, candidate = load(settings.version), settings.candidate
    with_others = main.declaration.routes.versioned and not settings.one_version_only
    others = [name for name in main.declaration.versions if with_others and name != main.version]
    if candidate and candidate not in (main.version, *others):
        if settings.candidate_in_process:
            others.append(candidate)
        else:
            read_bundle(folder, candidate)  # which a shadow loads in a process of its own
    as_candidate = candidate if settings.candidate_in_process else None
    return ModelVersions(main, tuple(load(name, candidate=name == as_candidate) for name in others))


def load_model(
    folder: Path,
    version: str | None = None,
    threshold: float | None = None,
    wrap: Callable[[Engine], Engine] = lambda engine: engine,
) -> ServedModel:
    """Load a version of a model (the declared default) and prove it on its probe rows.

    BundleError says in one sentence which file is missing, altered or wrong.
    """
    declaration, manifest, contents = read_bundle(folder, version)
    if threshold is not None and not declaration.binary:
        raise BundleError(
            f"THRESHOLD belongs to models with two classes, and '{declaration.name}' has more: unset it"
        )
    path = folder / manifest.version
    file = path / manifest.served_file
    engine, explainer = load_engine(file, contents[file.name], declaration, manifest, wrap)
    try:
        model = ServedModel(
            declaration, manifest, engine, explainer=explainer, threshold=threshold, card=card_page(contents)
        )
        model.check_probes()
    except EngineError as error:
        raise BundleError(f"{file} does not give the answers that training recorded: {error}") from error
    except ValueError:
        raise BundleError(
            f"{path}: model.toml does not accept a probe row of bundle.json: train the model again "
            f"(make train MODEL={declaration.name})"
        ) from None
    return model


def load_engine(
    file: Path, content: bytes, declaration: Declaration, manifest: Manifest, wrap: Callable[[Engine], Engine]
) -> tuple[Engine, Explainer]:
    """Return what predicts with the served file of a bundle, and what explains its predictions."""
    features, trained = declaration.features, manifest.distribution
    if file.name == ADDITIVE_FILE:
        additive = parse_additive(content, features, str(file))
        return wrap(AdditiveEngine(additive)), AdditiveExplainer(additive, features, trained)
    try:
        engine = wrap(OnnxEngine(content))
    except EngineError as error:
        raise BundleError(f"{file}: {error}") from error
    return engine, ShapleyExplainer(engine, features, trained)


def read_bundle(folder: Path, version: str | None) -> tuple[Declaration, Manifest, dict[str, bytes]]:
    """Return what a version (the declared default) says and holds; BundleError where it is not whole."""
    declaration = load_declaration(folder)
    version = version or declaration.default_version
    path = folder / version
    if not path.is_dir():
        there = ", ".join(sorted(v for v in declaration.versions if (folder / v).is_dir())) or "none"
        raise BundleError(
            f"{path} is missing: '{declaration.name}' has these versions: {there}; make train "
            f"MODEL={declaration.name} trains what model.toml declares"
        )
    manifest = load_manifest(path, declaration)
    if unknown := set(declaration.health.values()) - set(manifest.evaluation.metrics):
        raise BundleError(
            f"model.toml of '{declaration.name}': health names the metric '{min(unknown)}', "
            f"which {path / MANIFEST_FILE} lacks"
        )
    check_inspected(path, manifest)
    return declaration, manifest, read_files(path, manifest)


def _warned_outside(feature: Feature, manifest: Manifest) -> tuple[float, float, RowWarning]:
    """Return the bounds of the encoded values that get no warning, and the warning of those outside.

    The code of values that are not listed is above all others.
    """
    distribution = manifest.distribution[feature.name]
    if isinstance(feature, NumberFeature) and isinstance(distribution, NumberDistribution):
        low, high = distribution.minimum, distribution.maximum
        return low, high, TrainedRange(feature.name, low, high, feature.unit)
    if isinstance(feature, CategoryFeature) and feature.other:
        return -np.inf, max(feature.codes.values()), UnlistedValue(feature.name)
    return -np.inf, np.inf, UnlistedValue(feature.name)
