"""FunctionTransformer of numpy's functions."""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.preprocessing import FunctionTransformer

from training.converters.nodes import Convert, Nodes
from training.remedies import not_exported
from training.table import DataError

OPERATORS = {
    np.abs: "Abs", np.fabs: "Abs", np.ceil: "Ceil", np.cos: "Cos", np.exp: "Exp", np.floor: "Floor",
    np.log: "Log", np.negative: "Neg", np.reciprocal: "Reciprocal", np.rint: "Round", np.sign: "Sign",
    np.sin: "Sin", np.sqrt: "Sqrt", np.tan: "Tan", np.tanh: "Tanh",
}  # fmt: skip
"""Functions of numpy and the ONNX operator that is the same."""


def _of_logarithm(base: float) -> Callable[[Nodes, str], str]:
    return lambda nodes, values: nodes.node("Div", nodes.node("Log", values), nodes.constant(np.log(base)))


COMPOSED: dict[Any, Callable[[Nodes, str], str]] = {
    np.log1p: lambda nodes, values: nodes.node("Log", nodes.node("Add", values, nodes.constant(1))),
    np.expm1: lambda nodes, values: nodes.node("Sub", nodes.node("Exp", values), nodes.constant(1)),
    np.square: lambda nodes, values: nodes.node("Mul", values, values),
    np.log2: _of_logarithm(2),
    np.log10: _of_logarithm(10),
}


def check_function(step: FunctionTransformer) -> None:
    """Reject a function that ONNX does not have."""
    if step.func is not None and (step.kw_args or not _is_known(step.func)):
        name = getattr(step.func, "__name__", type(step.func).__name__)
        raise DataError(not_exported(f"'FunctionTransformer' of '{name}'", REMEDY))


def applied(nodes: Nodes, step: FunctionTransformer, values: str) -> str:
    check_function(step)
    if step.func is None:
        return values
    if step.func in OPERATORS:
        return nodes.node(OPERATORS[step.func], values)
    return COMPOSED[step.func](nodes, values)


def _is_known(function: Any) -> bool:
    return isinstance(function, np.ufunc) and (function in OPERATORS or function in COMPOSED)


REMEDY = (
    "take one of numpy's "
    + ", ".join(sorted(function.__name__ for function in [*OPERATORS, *COMPOSED]))
    + ", compute its column in the table, or write a transformer with a converter in recipe.py"
)

FUNCTIONS: dict[type, Convert] = {FunctionTransformer: applied}
