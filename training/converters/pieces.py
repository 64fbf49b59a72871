"""Steps that cut a number into pieces: bins, and splines, which are a polynomial between two knots."""

from math import factorial

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import BSpline
from sklearn.preprocessing import KBinsDiscretizer, SplineTransformer

from training.converters.nodes import Convert, Nodes

DOUBLE = np.float64


def binned(nodes: Nodes, step: KBinsDiscretizer, values: str) -> str:
    """Count the inner edges that a value reaches, in float64 as numpy's searchsorted does."""
    values = nodes.cast(values, DOUBLE)
    made = []
    for column, edges in enumerate(step.bin_edges_):
        place = _place(nodes, nodes.columns(values, [column]), edges[1:-1])
        if step.encode != "ordinal":
            place = nodes.node("Equal", place, nodes.constant(np.arange(len(edges) - 1)[None], np.int64))
        made.append(nodes.cast(place))
    return nodes.concatenated(*made)


def splines(nodes: Nodes, step: SplineTransformer, values: str) -> str:
    values = nodes.cast(values, DOUBLE)
    made = [
        _spline(nodes, step, spline, nodes.columns(values, [column]))
        for column, spline in enumerate(step.bsplines_)
    ]
    return nodes.cast(nodes.concatenated(*made))


def _spline(nodes: Nodes, step: SplineTransformer, spline: BSpline, column: str) -> str:
    """Return [rows, splines]: each piece's polynomial, whose coefficients are looked up by the piece."""
    degree = step.degree
    knots = spline.t[degree : len(spline.t) - degree]
    kept = spline.c.shape[1] - (not step.include_bias)
    inside = _inside(nodes, step.extrapolation, column, knots[0], knots[-1])
    polynomials = np.stack([_polynomial(spline, left, degree) for left in knots[:-1]])[:, :, :kept]
    place = nodes.node("Squeeze", _place(nodes, inside, knots[1:-1]), nodes.constant([1], np.int64))
    start = nodes.node("Gather", nodes.constant(knots[:-1, None], DOUBLE), place)
    powers = _powers(nodes, nodes.node("Sub", inside, start), degree)
    chosen = nodes.node("Gather", nodes.constant(polynomials, DOUBLE), place)  # [rows, powers, splines]
    product = nodes.node("Mul", nodes.node("Unsqueeze", powers, nodes.constant([2], np.int64)), chosen)
    made = nodes.node("ReduceSum", product, nodes.constant([1], np.int64), keepdims=0)
    if step.extrapolation == "linear":
        made = nodes.node("Add", made, _beyond(nodes, spline, nodes.node("Sub", column, inside), kept, knots))
    if step.handle_missing == "zeros":
        made = nodes.node("Where", nodes.node("IsNaN", column), nodes.constant(0, DOUBLE), made)
    return made


def _inside(nodes: Nodes, extrapolation: str, column: str, low: float, high: float) -> str:
    """Return the values at which the pieces are evaluated."""
    if extrapolation == "continue":
        return column
    if extrapolation == "periodic":
        period, least = nodes.constant(high - low, DOUBLE), nodes.constant(low, DOUBLE)
        offset = nodes.node("Sub", column, least)
        turns = nodes.node("Floor", nodes.node("Div", offset, period))
        return nodes.node("Add", least, nodes.node("Sub", offset, nodes.node("Mul", turns, period)))
    return nodes.node("Clip", column, nodes.constant(low, DOUBLE), nodes.constant(high, DOUBLE))


def _beyond(nodes: Nodes, spline: BSpline, outside: str, kept: int, knots: NDArray[np.float64]) -> str:
    """Return what a linear extrapolation adds outside of the knots."""
    zero = nodes.constant(0, DOUBLE)
    parts = [
        nodes.node(
            "Mul",
            nodes.node(which, outside, zero),
            nodes.constant(np.asarray(spline(end, nu=1))[None, :kept], DOUBLE),
        )
        for which, end in (("Min", knots[0]), ("Max", knots[-1]))
    ]
    return nodes.node("Add", *parts)


def _polynomial(spline: BSpline, left: float, degree: int) -> NDArray[np.float64]:
    """Return the coefficients [powers, splines] of the piece that begins at a knot, lowest power first."""
    return np.stack([np.asarray(spline(left, nu=power)) / factorial(power) for power in range(degree + 1)])


def _powers(nodes: Nodes, values: str, degree: int) -> str:
    powers = [
        nodes.node("Add", nodes.node("Mul", values, nodes.constant(0, DOUBLE)), nodes.constant(1, DOUBLE))
    ]
    for _ in range(degree):
        powers.append(nodes.node("Mul", powers[-1], values))
    return nodes.concatenated(*powers)


def _place(nodes: Nodes, column: str, edges: NDArray[np.floating]) -> str:
    """Return how many edges each value [rows, 1] of a column reaches."""
    if not len(edges):
        return nodes.cast(
            nodes.node("Mul", nodes.cast(nodes.node("IsNaN", column), DOUBLE), nodes.constant(0, DOUBLE)),
            np.int64,
        )
    reached = nodes.node("GreaterOrEqual", column, nodes.constant(edges[None], DOUBLE))
    return nodes.node("ReduceSum", nodes.cast(reached, np.int64), nodes.constant([1], np.int64), keepdims=1)


PIECES: dict[type, Convert] = {KBinsDiscretizer: binned, SplineTransformer: splines}
