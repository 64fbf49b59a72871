"""What a converter writes: nodes of an ONNX graph, in the precision of the values that it reads."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto
from skl2onnx.common.data_types import DoubleTensorType

from training.table import DataError

CONCAT, OPSET = 1, 18


class Nodes:
    """Adds nodes to a graph; each method returns the name of what it computes.

    `precision` is float32 or float64: that of the values which the step reads.
    """

    def __init__(self, scope: Any, container: Any, precision: type[np.floating]) -> None:
        self._scope = scope
        self._container = container
        self.precision = precision

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add an operator of ONNX (operator set 18)."""
        output = self._scope.get_unique_variable_name("value")
        self.write(operator, inputs, output, **attributes)
        return str(output)

    def write(self, operator: str, inputs: tuple[str, ...], output: str, **attributes: Any) -> None:
        """Add an operator whose output has this name."""
        name = self._scope.get_unique_operator_name(operator)
        self._container.add_node(operator, list(inputs), output, name=name, op_version=OPSET, **attributes)

    def constant(self, values: ArrayLike, kind: Any = None) -> str:
        """Add an array, in the precision of the values unless another kind is named."""
        array: NDArray[Any] = np.asarray(values, dtype=kind or self.precision)
        name = self._scope.get_unique_variable_name("constant")
        self._container.add_initializer(name, _proto(array.dtype), list(array.shape), array.ravel().tolist())
        return str(name)

    def labels(self, classes: NDArray[Any]) -> str:
        """Add the classes of a classifier: whole numbers or texts."""
        name = self._scope.get_unique_variable_name("classes")
        texts = classes.dtype.kind not in "iub"
        values = [str(label).encode() for label in classes] if texts else classes.astype(int).tolist()
        kind = TensorProto.STRING if texts else TensorProto.INT64
        self._container.add_initializer(name, kind, [len(classes)], values)
        return str(name)

    def cast(self, values: str, kind: Any = None) -> str:
        """Convert to a type of numpy, by default to the precision of the values."""
        return self.node("Cast", values, to=_proto(np.dtype(kind or self.precision)))

    def columns(self, values: str, indexes: ArrayLike) -> str:
        """Choose columns."""
        return self.node("Gather", values, self.constant(indexes, np.int64), axis=1)

    def concatenated(self, *values: str) -> str:
        return values[0] if len(values) == 1 else self.node("Concat", *values, axis=CONCAT)


Convert = Callable[[Nodes, Any, str], str]
"""Writes a fitted step: (nodes, step, name of values [rows, columns]) -> name of what they become."""


def converter(convert: Convert) -> Callable[[Any, Any, Any], None]:
    """Return a converter as skl2onnx calls it."""

    def run(scope: Any, operator: Any, container: Any) -> None:
        double = isinstance(operator.inputs[0].type, DoubleTensorType)
        nodes = Nodes(scope, container, np.float64 if double else np.float32)
        values = nodes.concatenated(*(variable.full_name for variable in operator.inputs))
        made = convert(nodes, operator.raw_operator, values)
        if not isinstance(made, str):
            raise DataError(
                f"the converter of '{type(operator.raw_operator).__name__}' returns no name: return what "
                "nodes.node(...) returned last"
            )
        nodes.write("Identity", (made,), operator.outputs[0].full_name)

    return run


def shape(operator: Any) -> None:
    """Set the shape of a step's output, for skl2onnx: as many columns as it makes of a row."""
    step = operator.raw_operator
    width = sum(variable.type.shape[1] for variable in operator.inputs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of columns without names
        made = step.transform(np.ones((1, width)))
    kind = operator.inputs[0].type
    double = isinstance(kind, DoubleTensorType)
    columns = made.shape[1]
    operator.outputs[0].type = (DoubleTensorType if double else type(kind))([None, columns])


def _proto(kind: np.dtype[Any]) -> int:
    kinds = {
        np.float32: TensorProto.FLOAT,
        np.float64: TensorProto.DOUBLE,
        np.int64: TensorProto.INT64,
        np.bool_: TensorProto.BOOL,
    }
    return int(kinds[kind.type])
