"""Steps that make new columns of numbers, in float64, which skl2onnx computes otherwise or not at all."""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.preprocessing import PolynomialFeatures, PowerTransformer

from training.converters.nodes import Convert, Nodes
from training.converters.scalers import standard


def principal(nodes: Nodes, step: PCA, values: str) -> str:
    """PCA rotates first and subtracts the rotated mean then."""
    made = nodes.node("MatMul", values, nodes.constant(step.components_.T))
    if step.mean_ is not None:
        made = nodes.node("Sub", made, nodes.constant(step.mean_.reshape(1, -1) @ step.components_.T))
    if step.whiten:
        scale = np.sqrt(step.explained_variance_)
        least = np.finfo(scale.dtype).eps
        made = nodes.node("Div", made, nodes.constant(np.where(scale < least, least, scale)))
    return made


def polynomial(nodes: Nodes, step: PolynomialFeatures, values: str) -> str:
    """Multiply as many columns as the degree for each output; a column of ones stands for none."""
    ones = nodes.node(
        "Add", nodes.node("Mul", nodes.columns(values, [0]), nodes.constant(0)), nodes.constant(1)
    )
    padded = nodes.concatenated(values, ones)
    width = step.n_features_in_
    factors = [np.repeat(np.arange(width), powers) for powers in step.powers_]
    degree = max(1, *map(len, factors))
    places = np.array([[*factor, *[width] * (degree - len(factor))] for factor in factors], dtype=np.int64)
    made = nodes.columns(padded, places[:, 0])
    for column in places.T[1:]:
        made = nodes.node("Mul", made, nodes.columns(padded, column))
    return made


def power(nodes: Nodes, step: PowerTransformer, values: str) -> str:
    """Yeo-Johnson's or Box-Cox's power of each column, standardized if the step does so."""
    one_by_one = _box_cox if step.method == "box-cox" else _yeo_johnson
    columns = [
        one_by_one(nodes, nodes.columns(values, [place]), float(exponent))
        for place, exponent in enumerate(step.lambdas_)
    ]
    made = nodes.concatenated(*columns)
    return standard(nodes, step._scaler, made) if step.standardize else made  # noqa: SLF001


def _box_cox(nodes: Nodes, column: str, exponent: float) -> str:
    """Return (x^l - 1) / l, or the logarithm at 0."""
    if exponent == 0:
        return nodes.node("Log", column)
    raised = nodes.node("Pow", column, nodes.constant(exponent))
    return nodes.node("Div", nodes.node("Sub", raised, nodes.constant(1)), nodes.constant(exponent))


def _yeo_johnson(nodes: Nodes, column: str, exponent: float) -> str:
    zero, unit = nodes.constant(0), nodes.constant(1)
    above = _box_cox(nodes, nodes.node("Add", nodes.node("Max", column, zero), unit), exponent)
    turned = nodes.node("Max", nodes.node("Neg", column), zero)
    below = _box_cox(nodes, nodes.node("Add", turned, unit), 2 - exponent)
    chosen = nodes.node("Where", nodes.node("Less", column, zero), nodes.node("Neg", below), above)
    return nodes.node("Where", nodes.node("IsNaN", column), column, chosen)


COLUMNS: dict[type, Convert] = {PCA: principal, PolynomialFeatures: polynomial, PowerTransformer: power}
