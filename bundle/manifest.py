"""`bundle.json`: what a version of a model consists of, and the hashes that prove it complete and unaltered.

A bundle is a folder `models/<name>/<version>/` with `model.onnx`, `card.html`, its plots and `bundle.json`;
an additive model also has `additive.json` and is served from it. `model.joblib` (the fitted scikit-learn
pipeline) is for people: the server does not load it, and images do without it.

`bundle.json` holds the sha256 of each file, of the parts of model.toml that decide a prediction, and of its
own content. The hashes detect edits and mix-ups. They are no signature: who writes the folder writes them.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator
from pydantic_core import from_json

from bundle.additive import ADDITIVE_FILE
from bundle.declaration import Declaration
from bundle.distributions import CategoryDistribution, Distribution, NumberDistribution
from bundle.errors import BundleError, first_reason
from bundle.evaluation import Evaluation
from bundle.features import CategoryFeature
from bundle.files import read_file
from bundle.records import Record, Share, check_sum

MODEL_FILE = "model.onnx"
MANIFEST_FILE = "bundle.json"
CARD_FILE = "card.html"
PIPELINE_FILE = "model.joblib"

FORMAT = 5
"""`schema_version` of the bundles that are written and read."""

MOST_MANIFEST_BYTES = 64 * 1024 * 1024
MOST_FILE_BYTES = 2**31 - 1
"""The limit of ONNX for one file."""

PARITY_TOLERANCE = 1e-5
"""Largest difference between a served probability and scikit-learn's, in training and at every probe."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}$")]


class Estimator(Record):
    """The declared name of the estimator ("logistic_regression") and its class in scikit-learn."""

    name: str
    type: str


class FewRows(Record):
    """The rarest class, with fewer rows than the gate needs to judge by, which was allowed explicitly."""

    label: str
    rows: int = Field(ge=0)
    needed: int


class Data(Record):
    """The rows that a version was trained on; `few` is there only if they were too few."""

    sha256: Sha256
    rows: int = Field(gt=0, le=10**12)
    few: FewRows | None = Field(default=None, exclude_if=lambda few: few is None)


class Imported(Record):
    """The file that a version was imported from, or the class of an object; it was not trained here."""

    source: str
    sha256: Sha256 | None


class Probe(Record):
    """A row as clients send it, and the probability of each class that scikit-learn gives it."""

    row: dict[str, bool | int | float | str | None]
    probabilities: list[Share]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        check_sum(self.probabilities)
        return self


class Manifest(Record):
    """The content of `bundle.json`.

    `sha256` covers all other members, see `sealed`; `declaration` is the sha256 of the declaration's
    `deciding`. `files` are served; `inspected` are for people, and serving does without them. Probe rows are
    made up. `distribution` is the reference distribution of each feature, `score` that of the scores of
    out-of-fold rows. `chi_square` has, by number of bins, the quantile that rows like the training data pass
    at most once in a year: less than that is chance, and not drift. `imported` is absent from a version that
    was trained here.
    """

    schema_version: Literal[5]
    sha256: Sha256
    declaration: Sha256
    model: str
    version: str
    estimator: Estimator
    classes: list[str]
    features: list[str]
    threshold: float | None
    files: dict[FileName, Sha256]
    inspected: dict[FileName, Sha256]
    data: Data
    imported: Imported | None = Field(default=None, exclude_if=lambda imported: imported is None)
    libraries: dict[str, str]
    evaluation: Evaluation
    distribution: dict[str, Distribution]
    score: NumberDistribution
    chi_square: dict[int, float]
    probes: list[Probe] = Field(min_length=1)

    def __repr__(self) -> str:
        return f"<{self.model} {self.version}, {self.estimator.type}, sha256 {self.sha256[:12]}>"

    @property
    def reference(self) -> str:
        """Names what live rows are compared with: versions that share it count rows alike."""
        compared = self.model_dump(mode="json", include={"distribution", "score", "chi_square"})
        content = json.dumps(compared | {"rows": self.data.rows}, sort_keys=True, separators=(",", ":"))
        return sha256(content.encode())[:8]

    @property
    def served_file(self) -> str:
        """The file that predictions are computed from."""
        return ADDITIVE_FILE if ADDITIVE_FILE in self.files else MODEL_FILE


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _train_again(path: Path) -> str:
    """Return what to do about a `<model>/<version>/bundle.json` that does not fit."""
    return f"train the model again (make train MODEL={path.parent.parent.name})"


def sealed(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return a manifest with its `sha256`: that of the other members as JSON, sorted and without blanks."""
    rest = {name: value for name, value in manifest.items() if name != "sha256"}
    content = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    return {"sha256": sha256(content.encode())} | rest


def probe_error(probe: Probe, probabilities: NDArray[np.floating]) -> float:
    """Return the largest difference between a probe's expected probabilities and the given [classes]."""
    return float(np.abs(np.asarray(probe.probabilities) - probabilities).max())


def load_manifest(folder: Path, declaration: Declaration) -> Manifest:
    """Read `folder/bundle.json` and check it against the declaration; BundleError names the file."""
    path = folder / MANIFEST_FILE
    manifest = _parse(path)
    if not {MODEL_FILE, CARD_FILE} <= set(manifest.files):
        raise BundleError(f"{path} is incomplete: {_train_again(path)}")
    _check_identity(path, manifest, declaration)
    _check_distribution(path, manifest, declaration)
    _check_classes(path, manifest, declaration)
    if manifest.declaration != sha256(declaration.deciding):
        raise BundleError(
            f"{folder.parent / 'model.toml'} changed after {folder.name} was trained (a feature's type, "
            f"unit, range or codes, or a class's prediction): undo the change, or {_train_again(path)}"
        )
    return manifest


def _check_identity(path: Path, manifest: Manifest, declaration: Declaration) -> None:
    expected = {
        "model": declaration.name,
        "version": path.parent.name,
        "classes": declaration.labels,
        "features": declaration.feature_names,
        "threshold": declaration.threshold,
    }
    for field, value in expected.items():
        if getattr(manifest, field) != value:
            if field == "threshold":
                raise BundleError(
                    f"{path} has another 'threshold' than model.toml: undo the change, serve "
                    f"another threshold with the setting THRESHOLD, or {_train_again(path)}"
                )
            raise BundleError(
                f"{path} has another '{field}' than model.toml and the folder's name: {_train_again(path)}"
            )


def _check_distribution(path: Path, manifest: Manifest, declaration: Declaration) -> None:
    if set(manifest.distribution) != set(manifest.features):
        raise BundleError(f"{path} is incomplete: {_train_again(path)}")
    for feature in declaration.features:
        described = manifest.distribution[feature.name]
        codes = set(feature.encoded) if isinstance(feature, CategoryFeature) else None
        shares = set(described.shares) if isinstance(described, CategoryDistribution) else None
        if shares != codes:
            raise BundleError(
                f"{path} has other categories of '{feature.name}' than model.toml: {_train_again(path)}"
            )


def _check_classes(path: Path, manifest: Manifest, declaration: Declaration) -> None:
    if set(manifest.evaluation.expectation.shares) != set(declaration.labels) or any(
        len(probe.probabilities) != len(declaration.classes) for probe in manifest.probes
    ):
        raise BundleError(f"{path} has other classes than model.toml: {_train_again(path)}")


def _parse(path: Path) -> Manifest:
    try:
        document = from_json(read_file(path, MOST_MANIFEST_BYTES), allow_inf_nan=False)
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}; {_train_again(path)}") from None
    except ValueError as error:
        raise BundleError(f"{path} is not JSON: {error}; {_train_again(path)}") from None
    if not isinstance(document, dict) or document.get("schema_version") != FORMAT:
        raise BundleError(f"{path} is no bundle manifest of schema_version {FORMAT}: {_train_again(path)}")
    try:
        manifest = Manifest.model_validate(document)
    except ValidationError as error:
        raise BundleError(
            f"{path} is not a valid bundle manifest: {first_reason(error, 'the file')}"
        ) from None
    if sealed(document)["sha256"] != manifest.sha256:
        raise BundleError(
            f"{path} was edited after training, its sha256 differs: {_train_again(path)}; the setting "
            "THRESHOLD serves another threshold"
        )
    return manifest


def read_files(folder: Path, manifest: Manifest) -> dict[str, bytes]:
    """Return the content of every served file; BundleError names a missing or altered one."""
    return {name: _read(folder / name, expected) for name, expected in manifest.files.items()}


def check_inspected(folder: Path, manifest: Manifest) -> None:
    """Check the files for people that are there; BundleError names an altered one."""
    for name, expected in manifest.inspected.items():
        if (folder / name).exists():
            _read(folder / name, expected)


def _read(path: Path, expected: str) -> bytes:
    try:
        content = read_file(path, MOST_FILE_BYTES)
    except OSError as error:
        raise BundleError(
            f"{path} is listed in {MANIFEST_FILE} but cannot be read: {error.strerror}"
        ) from None
    if sha256(content) != expected:
        raise BundleError(f"{path} is not the file that {MANIFEST_FILE} describes: its sha256 differs")
    return content
