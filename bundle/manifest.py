"""`bundle.json`: what a version of a model is made of, and how to tell that it is whole.

A bundle is a folder `models/<name>/<version>/` with `model.onnx`, `model.joblib` (the fitted scikit-learn
pipeline, kept for inspection and never loaded by the server), `card.html` with its plots, and `bundle.json`.
A model that adds up has `additive.json`, too, and is served from it.
"""

import hashlib
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bundle.additive import ADDITIVE_FILE
from bundle.declaration import CategoryFeature, Declaration
from bundle.errors import BundleError

MODEL_FILE = "model.onnx"
MANIFEST_FILE = "bundle.json"
CARD_FILE = "card.html"

PARITY_TOLERANCE = 1e-5
"""Largest difference of a served probability from scikit-learn's, in training and at every probe."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*$")]
Share = Annotated[float, Field(ge=0, le=1)]


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Estimator(Record):
    """The declared name of the estimator ("logistic_regression") and its class in scikit-learn."""

    name: str
    type: str


class Data(Record):
    sha256: Sha256
    rows: int = Field(gt=0)


class Figure(Record):
    """An estimate with its 95 % confidence interval."""

    value: float
    low: float
    high: float


class GroupFigures(Record):
    feature: str
    group: str
    rows: int
    positives: int
    figures: dict[str, Figure]


class CalibrationBin(Record):
    """Rows with a forecast in one tenth: how many, their mean forecast, and how often it came true."""

    rows: int
    forecast: Share
    share: Figure


class ThresholdFigures(Record):
    """What answers are worth if the positive class is predicted from `threshold` on.

    `cost` is that of 1,000 rows, in false alarms.
    """

    threshold: Share
    miss_rate: Figure
    false_alarm_rate: Figure
    cost: Figure


class Expectation(Record):
    """What answers to rows like the training data's look like: share of each class, mean confidence."""

    shares: dict[str, Share]
    confidence: Share


class Evaluation(Record):
    """How the figures were made, the figures by name, and what to expect of answers."""

    method: str
    expectation: Expectation
    figures: dict[str, Figure]
    groups: list[GroupFigures]
    calibration: list[CalibrationBin]
    thresholds: list[ThresholdFigures]


class Probe(Record):
    """A row as clients send it, and the probability of each class that scikit-learn gives it."""

    row: dict[str, int | float | str | None]
    probabilities: list[Share]


class NumberDistribution(Record):
    """Training values of a number: range, mean of those that are there, and the share of rows in each bin.

    `edges` are the inner ones of right-closed bins.
    """

    minimum: float
    maximum: float
    mean: float
    edges: list[float]
    shares: list[Share]
    missing: Share


class CategoryDistribution(Record):
    """Training values of a category: share of rows by spelled-out value."""

    shares: dict[str, Share]
    missing: Share


class Manifest(Record):
    """What a version is made of.

    `distribution` is that of each feature, `score` that of answers to rows the model had not seen.
    `chi_square` has the 99.9 % quantile for each number of bins there is: drift is told from chance by it.
    """

    schema_version: Literal[3]
    model: str
    version: str
    estimator: Estimator
    classes: list[str]
    features: list[str]
    threshold: float | None
    files: dict[FileName, Sha256]
    data: Data
    libraries: dict[str, str]
    evaluation: Evaluation
    distribution: dict[str, NumberDistribution | CategoryDistribution]
    score: NumberDistribution
    chi_square: dict[int, float]
    probes: list[Probe] = Field(min_length=1)

    @property
    def served_file(self) -> str:
        """The file that answers."""
        return ADDITIVE_FILE if ADDITIVE_FILE in self.files else MODEL_FILE


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def probe_error(probe: Probe, probabilities: NDArray[np.floating]) -> float:
    """Return the largest difference between a probe's expected probabilities and the given [classes]."""
    return float(np.abs(np.asarray(probe.probabilities) - probabilities).max())


def load_manifest(folder: Path, declaration: Declaration) -> Manifest:
    """Read `folder/bundle.json` and check it against the declaration; BundleError names the file."""
    path = folder / MANIFEST_FILE
    manifest = _parse(path)
    expected = {
        "model": declaration.name,
        "version": folder.name,
        "classes": declaration.labels,
        "features": declaration.feature_names,
    }
    for field, value in expected.items():
        if getattr(manifest, field) != value:
            raise BundleError(
                f"{path} has another '{field}' than model.toml and the folder say: train the model again"
            )
    if set(manifest.distribution) != set(manifest.features) or not {MODEL_FILE, CARD_FILE} <= set(
        manifest.files
    ):
        raise BundleError(f"{path} is incomplete: train the model again")
    for feature in declaration.features:
        described = manifest.distribution[feature.name]
        shares = described.shares if isinstance(described, CategoryDistribution) else {}
        codes = feature.codes if isinstance(feature, CategoryFeature) else {}
        if set(shares) != set(codes):
            raise BundleError(
                f"{path} has other categories of '{feature.name}' than model.toml: train the model again"
            )
    return manifest


def read_files(folder: Path, manifest: Manifest) -> dict[str, bytes]:
    """Return the content of every file of the bundle; BundleError names the missing or altered one."""
    contents = {}
    for name, expected in manifest.files.items():
        path = folder / name
        try:
            contents[name] = path.read_bytes()
        except OSError as error:
            raise BundleError(
                f"{path} is listed in {MANIFEST_FILE} but cannot be read: {error.strerror}"
            ) from None
        if sha256(contents[name]) != expected:
            raise BundleError(f"{path} is not the file that {MANIFEST_FILE} describes: its sha256 differs")
    return contents


def _parse(path: Path) -> Manifest:
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}. 'make train' makes it") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise BundleError(f"{path} is not a valid bundle manifest: {place}: {first['msg']}") from None
