"""Finds the order in which an ONNX model has its classes: its graph names them, or its labels prove them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from bundle.declaration import Declaration
from training.frames import class_index, class_order, indexes_by_name
from training.metrics import Floats
from training.table import DataError

PASSING = {"Cast", "Flatten", "Identity", "Normalizer", "Reshape", "Squeeze", "Unsqueeze"}
"""Operators that keep the order of classes."""

PICKING = {"ArrayFeatureExtractor", "Gather"}
LABELS = {TensorProto.BOOL, TensorProto.INT32, TensorProto.INT64, TensorProto.STRING}
CLEAR = 1e-3
"""A row proves its label only if its two highest probabilities differ by more."""


def label_output(model: ModelProto) -> str | None:
    """Return the only output that can be the predicted class."""
    found = [o.name for o in model.graph.output if o.type.tensor_type.elem_type in LABELS]
    return found[0] if len(found) == 1 else None


def named_classes(model: ModelProto, tensor: str) -> list[object]:
    """Return the classes that the node of the probabilities names, in their order; none if it names none."""
    node = _writer(model, tensor)
    return [] if node is None else classes_of(node)


def classes_of(node: NodeProto) -> list[object]:
    for attribute in node.attribute:
        if attribute.name.startswith("classlabels"):
            return _plain(helper.get_attribute_value(attribute))
    return []


def picked_classes(model: ModelProto, label: str) -> list[object]:
    """Return the constant list of classes from which the label output picks; none if it does not."""
    node = _writer(model, label)
    if node is None or node.op_type not in PICKING:
        return []
    constants = {constant.name: constant for constant in model.graph.initializer}
    if node.input[0] not in constants:
        return []
    return _plain(numpy_helper.to_array(constants[node.input[0]]).ravel())


def proven_order(
    declaration: Declaration, probabilities: Floats, labels: NDArray[Any], picked: Sequence[object]
) -> list[int] | None:
    """Return the column of each declared class, as a model's labels [rows] prove it; None if they do not.

    `probabilities` are [rows, classes] in the model's order; `picked` are its classes, if it lists them.
    """
    ranked = np.sort(probabilities, axis=1)
    clear = ranked[:, -1] - ranked[:, -2] > CLEAR
    columns, indexes = probabilities.argmax(axis=1), indexes_by_name(declaration)
    seen = {
        (class_index(indexes, label), int(column))
        for label, column in zip(_plain(labels[clear]), columns[clear], strict=True)
    }
    classes, places = {index for index, _ in seen}, {column for _, column in seen}
    everything = set(range(len(declaration.classes)))
    if None in classes or len(seen) != len(classes) or len(seen) != len(places):
        return None
    if len(seen) == len(everything) - 1:  # the last follows
        seen |= set(zip(everything - classes, everything - places, strict=True))
    if len(seen) == len(everything):
        return [column for _, column in sorted(seen)]
    order = class_order(declaration, picked) if picked else []
    return order if order and all(order[index] == column for index, column in seen) else None  # type: ignore[index]


def unproven(output: str, declaration: Declaration) -> DataError:
    return DataError(
        f"the ONNX model does not name its classes in the order of '{output}', and no output of labels "
        "proves it: export it with ZipMap, or name the order, such as "
        f"CLASSES={','.join(declaration.targets)}"
    )


def _writer(model: ModelProto, tensor: str) -> NodeProto | None:
    """Return the node that computes a tensor, past those that keep the order of classes."""
    writers = {output: node for node in model.graph.node for output in node.output}
    node = writers.get(tensor)
    while node is not None and node.op_type in PASSING:
        node = writers.get(node.input[0])
    return node


def _plain(values: Any) -> list[object]:
    found = [value.item() if isinstance(value, np.generic) else value for value in values]
    return [value.decode(errors="replace") if isinstance(value, bytes) else value for value in found]
