"""Proves that what is served of an imported model gives its maker's probabilities."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from bundle.declaration import Declaration
from bundle.encoding import Matrix
from bundle.features import UNLISTED, CategoryFeature
from bundle.manifest import PARITY_TOLERANCE
from bundle.runtime import Session
from training.conversion import conversions
from training.edges import edge_rows
from training.export import ParityError
from training.frames import FrameModel, column_name
from training.metrics import Floats
from training.onnx_file import OnnxModel
from training.precision import shortest
from training.remedies import for_other_answers
from training.table import DataError


def proven(
    model: FrameModel | OnnxModel, declaration: Declaration, matrices: list[Matrix], known: Floats
) -> tuple[bytes, str]:
    """Return the first export that gives the model's probabilities, and a sentence that says how closely.

    `matrices` are the labelled rows, whose probabilities are known, and generated ones. Rows on both sides of
    jumps are added. ParityError if no export gives the same probabilities within 1e-5.
    """
    labelled, generated = (len(matrix) for matrix in matrices)
    edges = edge_rows(
        getattr(model, "pipeline", None), model.predict_proba, declaration, np.concatenate(matrices)
    )
    every = [*matrices, edges] if len(edges) else matrices
    expected = [[known], *(_meanings(model, matrix) for matrix in every[1:])]
    differences = []
    for candidate in _candidates(model):
        pairs = zip([_answered(candidate, matrix) for matrix in every], expected, strict=True)
        differences.append(max(_difference(answer, meant) for answer, meant in pairs))
        if differences[-1] < PARITY_TOLERANCE:
            rows = f"{labelled} and {generated} rows" + (f", and {len(edges)} at edges" if len(edges) else "")
            return candidate, f"served against imported: {differences[-1]:.2g} apart at most, on {rows}"
    steps = () if isinstance(model, OnnxModel) else model.steps
    raise ParityError(
        f"the served model and the imported one differ by {min(differences):.2g}, more than "
        f"{PARITY_TOLERANCE:g}: {for_other_answers(steps)}"
    )


def check_unlisted(model: FrameModel | OnnxModel, frame: pd.DataFrame, matrix: Matrix) -> None:
    """Reject a category whose values that are not listed are one to the server, and several to the model."""
    for index, feature in enumerate(model.declaration.features):
        if not isinstance(feature, CategoryFeature) or not feature.other:
            continue
        rows = frame[matrix[:, index] == feature.encoded[UNLISTED]]
        if len(rows) and _tells_apart(model, index, column_name(feature, frame), rows):
            raise DataError(
                f"the model tells values of '{feature.column}' apart that model.toml does not list: add them "
                "to its codes, or remove the folder to have model.toml drafted with them"
            )


def _tells_apart(model: FrameModel | OnnxModel, index: int, column: str, rows: pd.DataFrame) -> bool:
    if isinstance(model, OnnxModel):
        return not model.compared(index).isdisjoint(map(str, rows[column]))
    as_one = model.probabilities(rows.assign(**{column: UNLISTED}))
    return _difference(model.probabilities(rows), [as_one]) > PARITY_TOLERANCE


def _meanings(model: FrameModel | OnnxModel, matrix: Matrix) -> list[Floats]:
    """Return the model's probabilities of rows, and of the decimals that clients send for their numbers."""
    if isinstance(model, OnnxModel):
        return [model.predict_proba(matrix)]
    return [model.predict_proba(matrix), model.predict_proba(shortest(matrix))]


def _difference(answer: Matrix | Floats, meant: list[Floats]) -> float:
    """Return how far an answer is from what a row means, whichever is nearer."""
    apart = [np.abs(answer - probabilities).max(axis=1) for probabilities in meant]
    return float(np.min(apart, axis=0).max())


def _candidates(model: FrameModel | OnnxModel) -> Iterator[bytes]:
    if isinstance(model, OnnxModel):
        yield model.converted()
    else:
        yield from conversions(model)


def _answered(model: bytes, matrix: Matrix) -> Matrix:
    """Return the probabilities of an export; infinite if ONNX Runtime cannot run it, as it is no match."""
    try:
        return Session(model).run(matrix)
    except Exception:  # noqa: BLE001  # ONNX Runtime's exceptions share no base class
        return np.full((1, 1), np.inf, dtype=np.float32)
