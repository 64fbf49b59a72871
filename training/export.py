"""Exports a fitted pipeline to ONNX, and proves that both give the same probabilities."""

from collections.abc import Callable, Iterator
from contextlib import suppress

import numpy as np
from skl2onnx.common.exceptions import MissingConverter, MissingShapeCalculator
from sklearn.pipeline import Pipeline

from bundle.additive import ADDITIVE_FILE
from bundle.declaration import Declaration
from bundle.distributions import Distributions, NumberDistribution
from bundle.encoding import Encoder, Matrix
from bundle.features import CategoryFeature, NumberFeature
from bundle.manifest import MODEL_FILE, PARITY_TOLERANCE
from bundle.runtime import INPUT, Session
from training import Say
from training.additive import derive
from training.converters.registry import converted
from training.distribution import describe
from training.edges import edge_rows
from training.fitting import predict_classes
from training.metrics import Floats
from training.onnx_parts import failing_step, precise
from training.recipe import described
from training.remedies import for_other_answers, not_exported
from training.table import DataError

GENERATED_ROWS = 10_000
MISSING_SHARE = 0.1


class ExportError(Exception):
    """The pipeline cannot be exported: one sentence that names the step."""


class ParityError(ExportError):
    """The exported model does not give scikit-learn's probabilities."""


def export_files(pipeline: Pipeline, declaration: Declaration, matrix: Matrix, say: Say) -> dict[str, bytes]:
    """Return the ONNX model and, if the pipeline has one, the additive model, each proven equal to it."""
    matrices = [matrix, generate_rows(declaration, describe(declaration, matrix))]
    model, difference, edges = proven(pipeline, declaration, matrices)
    rows = " and ".join(str(len(matrix)) for matrix in matrices)
    at_edges = f", and {edges} at edges" if edges else ""
    say(f"ONNX against scikit-learn: {difference:.2g} apart at most, on {rows} rows{at_edges}")
    return served_files(pipeline, declaration, matrices, model, say)


def proven(pipeline: Pipeline, declaration: Declaration, matrices: list[Matrix]) -> tuple[bytes, float, int]:
    """Return the first export that gives the pipeline's probabilities, how far it is apart, and edge rows.

    Where float32 is not exact enough, the transformers compute in float64, here and in ONNX. ParityError if
    no export gives the same probabilities within 1e-5.
    """
    failures = []
    for model, kind in _candidates(pipeline, len(declaration.features)):
        predict = _predictor(pipeline, kind, len(declaration.classes))
        try:
            difference = check_parity(pipeline, model, matrices, predict)
            edges = edge_rows(pipeline, predict, declaration, np.concatenate(matrices))
            if len(edges):
                difference = max(difference, check_parity(pipeline, model, [edges], predict))
        except ExportError as error:
            failures.append(error)
            continue
        return model, difference, len(edges)
    raise failures[0]


def _candidates(pipeline: Pipeline, features: int) -> Iterator[tuple[bytes, type[np.floating]]]:
    """Yield exports, each with the precision in which the pipeline gives the same."""
    yield export(pipeline, features), np.float32
    with suppress(DataError):  # of a step that has no converter for float64
        for model in precise(pipeline, features):
            yield model, np.float64


def _predictor(pipeline: Pipeline, kind: type[np.floating], classes: int) -> Callable[[Matrix], Floats]:
    return lambda matrix: predict_classes(pipeline, matrix.astype(kind), classes)


def served_files(
    pipeline: Pipeline,
    declaration: Declaration,
    matrices: list[Matrix],
    model: bytes,
    say: Say,
) -> dict[str, bytes]:
    """Return the ONNX model and, if the pipeline has one, the additive model; ParityError if it overflows."""
    check_far_rows(model, declaration)
    additive = derive(pipeline, declaration, matrices)
    if additive is None:
        return {MODEL_FILE: model}
    say(f"the model is additive: it is served from {ADDITIVE_FILE}")
    return {MODEL_FILE: model, ADDITIVE_FILE: additive.model_dump_json(indent=1).encode() + b"\n"}


def export(pipeline: Pipeline, features: int) -> bytes:
    """Return the pipeline as ONNX: `rows` float32 [n, features] -> `probabilities` float32 [n, classes]."""
    try:
        model = converted(pipeline, INPUT, features, opsets=None)
    except DataError as error:
        raise ExportError(str(error)) from None
    except Exception as error:  # noqa: BLE001  # converters raise exceptions of every kind
        raise ExportError(not_exported(failing_step(error), _reason(error))) from None
    # skl2onnx lists the operator sets in the order of a Python set, which differs from run to run.
    operator_sets = sorted(model.opset_import, key=lambda operator_set: operator_set.domain)
    del model.opset_import[:]
    model.opset_import.extend(operator_sets)
    return bytes(model.SerializeToString())


def _reason(error: BaseException) -> str:
    if isinstance(error, MissingShapeCalculator | MissingConverter):
        return "skl2onnx has no converter for it; one of your own belongs into CONVERTERS of recipe.py"
    return described(error)


def generate_rows(declaration: Declaration, distribution: Distributions) -> Matrix:
    """Return 10,000 seeded rows over the declared ranges, a tenth of nullable values missing.

    A number without a declared range is drawn from the trained one, widened by its width on either side.
    """
    random = np.random.default_rng(0)
    columns = []
    for feature in declaration.features:
        if isinstance(feature, CategoryFeature):
            column = random.choice(list(feature.encoded.values()), GENERATED_ROWS).astype(np.float64)
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


def check_far_rows(model: bytes, declaration: Declaration) -> None:
    """ParityError where the largest value of a number without a range makes the answer no number.

    Clients may send it, and a model that gives no number is unavailable to all.
    """
    session, example = Session(model), Encoder(declaration).encode([declaration.example])
    unlimited = [
        (index, feature, end)
        for index, feature in enumerate(declaration.features)
        if isinstance(feature, NumberFeature) and feature.range is None
        for end in feature.accepted
    ]
    for index, feature, end in unlimited:
        far = example.copy()
        far[0, index] = end
        if not np.isfinite(session.run(far)).all():
            raise ParityError(
                f"the exported model gives no number where {feature.name} is {end:g}: declare its range"
            )


def check_parity(
    pipeline: Pipeline,
    model: bytes,
    matrices: list[Matrix],
    predict: Callable[[Matrix], Floats] | None = None,
) -> float:
    """Return the largest difference of probabilities over all matrices; ParityError from 1e-5 on."""
    try:
        session = Session(model)
        answers = [session.run(matrix) for matrix in matrices]
    except Exception as error:  # noqa: BLE001  # ONNX Runtime's exceptions share no base class
        raise ExportError(f"ONNX Runtime cannot run the exported pipeline: {described(error)}") from None
    predict = predict or _predictor(pipeline, np.float32, answers[0].shape[-1])
    difference = max(
        float(np.abs(answer - predict(matrix)).max())
        for answer, matrix in zip(answers, matrices, strict=True)
    )
    if not difference < PARITY_TOLERANCE:
        raise ParityError(
            f"ONNX and scikit-learn differ by {difference:.2g}, more than {PARITY_TOLERANCE:g}: "
            f"{for_other_answers([pipeline])} (docs/models.md lists the steps)"
        )
    return difference
