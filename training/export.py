"""Exports a fitted pipeline to ONNX, and proves that both give the same probabilities."""

import numpy as np
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.pipeline import Pipeline

from bundle.declaration import Declaration
from bundle.distributions import Distributions, NumberDistribution
from bundle.encoding import Matrix
from bundle.features import CategoryFeature, NumberFeature
from bundle.manifest import PARITY_TOLERANCE
from bundle.runtime import INPUT, Session

GENERATED_ROWS = 10_000
MISSING_SHARE = 0.1


class ParityError(Exception):
    """The exported model does not give scikit-learn's probabilities."""


def export(pipeline: Pipeline, features: int) -> bytes:
    """Return the pipeline as ONNX: `rows` float32 [n, features] -> `probabilities` float32 [n, classes]."""
    model = to_onnx(
        pipeline,
        initial_types=[(INPUT, FloatTensorType([None, features]))],
        options={"zipmap": False},
        name="pipeline",
    )
    # skl2onnx lists the operator sets in the order of a Python set, which differs from run to run.
    operator_sets = sorted(model.opset_import, key=lambda operator_set: operator_set.domain)
    del model.opset_import[:]
    model.opset_import.extend(operator_sets)
    return bytes(model.SerializeToString())


def generate_rows(declaration: Declaration, distribution: Distributions) -> Matrix:
    """Return 10,000 seeded rows over the declared ranges, a tenth of nullable values missing.

    A number without a declared range is drawn from the trained one, widened by its width on either side.
    """
    random = np.random.default_rng(0)
    columns = []
    for feature in declaration.features:
        if isinstance(feature, CategoryFeature):
            column = random.choice(list(feature.codes.values()), GENERATED_ROWS).astype(np.float64)
        else:
            column = random.uniform(*feature.range or widened(feature, distribution), GENERATED_ROWS)
            column = np.rint(column) if feature.type == "integer" else column
        if feature.nullable:
            column[random.random(GENERATED_ROWS) < MISSING_SHARE] = np.nan
        columns.append(column)
    return np.stack(columns, axis=1).astype(np.float32)


def widened(feature: NumberFeature, distribution: Distributions) -> tuple[float, float]:
    """Return the trained range and as much on either side (1 where it is a single value), where accepted."""
    trained = distribution[feature.name]
    if not isinstance(trained, NumberDistribution):
        raise TypeError(f"the distribution of {feature.name} is not one of a {feature.type}")
    width = trained.maximum - trained.minimum or 1
    low, high = feature.accepted
    return max(low, trained.minimum - width), min(high, trained.maximum + width)


def check_parity(pipeline: Pipeline, model: bytes, matrices: list[Matrix]) -> float:
    """Return the largest difference of probabilities over all matrices; ParityError from 1e-5 on."""
    session = Session(model)
    difference = max(
        float(np.abs(session.run(matrix) - pipeline.predict_proba(matrix)).max()) for matrix in matrices
    )
    if not difference < PARITY_TOLERANCE:
        raise ParityError(f"ONNX and scikit-learn differ by {difference:.2g}, more than {PARITY_TOLERANCE:g}")
    return difference
