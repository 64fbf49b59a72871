"""Composes a served ONNX graph from parts: `rows` float32 [n, features] -> `probabilities` [n, classes]."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import FunctionProto, ModelProto, NodeProto, TensorProto, compose, helper, numpy_helper

from bundle.precision import EXACT
from bundle.runtime import INPUT, OUTPUT

OLDEST_OPSET = 11
"""The operator set with which floats can be compared."""

IR_VERSION = 8
NO_CODE = float(2 * EXACT)
"""Equal to no code, nor to NaN."""


class Graph:
    """A graph that grows from its input; each method adds nodes and returns the name of their tensor."""

    def __init__(self) -> None:
        self._nodes: list[NodeProto] = []
        self._constants: list[TensorProto] = []
        self._functions: list[FunctionProto] = []
        self._opsets = {"": OLDEST_OPSET}
        self._names = 0

    def columns(self, indexes: Sequence[int], tensor: str = INPUT) -> str:
        """Return these columns of a tensor, in this order."""
        return self.node("Gather", tensor, self.constant(np.array(indexes, dtype=np.int64)), axis=1)

    def cast(self, tensor: str, kind: int) -> str:
        return self.node("Cast", tensor, to=kind)

    def reshaped(self, tensor: str, *shape: int) -> str:
        return self.node("Reshape", tensor, self.constant(np.array(shape, dtype=np.int64)))

    def concatenated(self, tensors: Sequence[str]) -> str:
        return tensors[0] if len(tensors) == 1 else self.node("Concat", *tensors, axis=1)

    def decimals(self, values: str, places: Sequence[int | None]) -> str:
        """Return for each float64 of a float32 the decimal with so many places that rounds to it, if any.

        A maker's trees were fitted to 67.4, and a split may be there; float32 makes 67.4000015 of it. So it
        does of 67.45, which is half-way between two such values, where most splits are: one place more.
        """
        known = self.constant(np.array([digits is not None for digits in places]))
        meant = values
        for more in (1, 0):
            scale = self.constant(np.array([10.0 ** ((digits or 0) + more) for digits in places]))
            near = self.node("Div", self.node("Round", self.node("Mul", values, scale)), scale)
            single = self.cast(near, TensorProto.FLOAT)
            same = self.node("Equal", single, self.cast(values, TensorProto.FLOAT))
            meant = self.node("Where", self.node("And", same, known), near, meant)
        return meant

    def looked_up(self, index: int, codes: Sequence[float], table: NDArray[Any]) -> str:
        """Return for each code of a column its row of a table [1 + codes, width]; the first is for NaN."""
        known = self.constant(np.array([[NO_CODE, *codes]], dtype=np.float32))
        equal = self.cast(self.node("Equal", self.columns([index]), known), TensorProto.FLOAT)
        place = self.node("ArgMax", equal, axis=1, keepdims=0)  # the first where none is equal
        return self.node("Gather", self.constant(table), place, axis=0)

    def embedded(self, model: ModelProto, tensors: Mapping[str, str]) -> list[str]:
        """Add a model that reads these tensors by the names of its inputs, and return its outputs."""
        prefix = self._unique("part")
        inner = compose.add_prefix(model, prefix, rename_functions=False)
        for name, tensor in tensors.items():
            self.node("Identity", tensor, output=f"{prefix}{name}")
        self._nodes += inner.graph.node
        self._constants += inner.graph.initializer
        self._functions += inner.functions
        for operators in model.opset_import:
            domain = "" if operators.domain == "ai.onnx" else operators.domain
            self._opsets[domain] = max(operators.version, self._opsets.get(domain, 1))
        return [output.name for output in inner.graph.output]

    def finished(self, probabilities: str, order: Sequence[int]) -> bytes:
        """Return the model; `order` has the place of each declared class among the probabilities."""
        ordered = self.cast(self.columns(order, probabilities), TensorProto.FLOAT)
        bounds = [self.constant(np.float32(bound)) for bound in (0, 1)]  # sums of trees round past them
        self.node("Clip", ordered, *bounds, output=OUTPUT)
        graph = helper.make_graph(
            self._nodes,
            "imported",
            [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [None, None])],
            [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [None, len(order)])],
            self._constants,
        )
        model = helper.make_model(
            graph,
            functions=self._functions,
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid(*operators) for operators in sorted(self._opsets.items())],
        )
        return bytes(model.SerializeToString(deterministic=True))

    def constant(self, values: NDArray[Any] | np.float32) -> str:
        name = self._unique("constant")
        self._constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def node(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        output = output or self._unique("tensor")
        self._nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output

    def _unique(self, kind: str) -> str:
        self._names += 1
        return f"{kind}{self._names}_"
