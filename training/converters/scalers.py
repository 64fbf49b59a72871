"""Scalers that round exactly as scikit-learn does, in each precision.

skl2onnx multiplies by the inverse of a scale. The last digit differs, and trees split between.
"""

from typing import Any

import numpy as np
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

from training.converters.nodes import Convert, Nodes


def standard(nodes: Nodes, step: StandardScaler, values: str) -> str:
    """StandardScaler casts its mean and its scale to the precision of the values."""
    if step.with_mean:
        values = nodes.node("Sub", values, nodes.constant(step.mean_))
    if step.with_std:
        values = nodes.node("Div", values, nodes.constant(step.scale_))
    return values


def robust(nodes: Nodes, step: RobustScaler, values: str) -> str:
    if step.with_centering:
        values = _rounded(nodes, "Sub", values, step.center_)
    return _rounded(nodes, "Div", values, step.scale_) if step.with_scaling else values


def min_max(nodes: Nodes, step: MinMaxScaler, values: str) -> str:
    values = _rounded(nodes, "Add", _rounded(nodes, "Mul", values, step.scale_), step.min_)
    return _clipped(nodes, values, *step.feature_range) if step.clip else values


def max_abs(nodes: Nodes, step: MaxAbsScaler, values: str) -> str:
    values = _rounded(nodes, "Div", values, step.scale_)
    return _clipped(nodes, values, -1, 1) if getattr(step, "clip", False) else values


def _rounded(nodes: Nodes, operator: str, values: str, by: Any) -> str:
    """Compute in the precision of the second operand if it is greater, and round, as numpy does in place."""
    kind = np.result_type(nodes.precision, by.dtype)
    if kind == nodes.precision:
        return nodes.node(operator, values, nodes.constant(by))
    return nodes.cast(nodes.node(operator, nodes.cast(values, kind.type), nodes.constant(by, kind.type)))


def _clipped(nodes: Nodes, values: str, low: float, high: float) -> str:
    return nodes.node("Clip", values, nodes.constant(low), nodes.constant(high))


SCALERS: dict[type, Convert] = {
    StandardScaler: standard,
    RobustScaler: robust,
    MinMaxScaler: min_max,
    MaxAbsScaler: max_abs,
}
