"""An ONNX file of another maker, as a model of the encoder's matrix.

It has one input for each feature, named after its column (numbers or strings, [n, 1] or [n]), or a single
matrix of numbers [n, features].
"""

import re
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from bundle.declaration import Declaration
from bundle.features import CategoryFeature, Feature
from bundle.onnx import has_external_tensors
from bundle.runtime import Session, UnusableModelError
from training.frames import class_order
from training.graph import OLDEST_OPSET, Graph
from training.metrics import Floats
from training.table import DataError

DOMAINS = {"", "ai.onnx", "ai.onnx.ml"}
MISSING_TEXTS = ("nan", "NaN", "None", "missing", "")
"""How makers spell a missing string. The first that the model knows is used, else the last."""

WHOLE = {TensorProto.INT32, TensorProto.INT64, TensorProto.BOOL}
NUMBERS = {TensorProto.FLOAT, TensorProto.DOUBLE} | WHOLE
ROUNDING = 1e-3
"""Largest difference of a row's sum of probabilities from 1."""


class OnnxModel:
    estimator = "ONNX"

    def __init__(self, content: bytes, declaration: Declaration) -> None:
        self._model = loaded(content)
        _check_operators(self._model)
        try:
            self._session = Session(content)
        except UnusableModelError as error:
            raise DataError(f"the ONNX model cannot be used: {error}") from None
        self.declaration = declaration
        known = {value.name for value in self._model.graph.initializer}
        self._inputs = [value for value in self._model.graph.input if value.name not in known]
        self._features = self._matched()
        self._output, self._tensor, self.classes = _probabilities(self._model)
        everything = list(range(len(declaration.classes)))
        self.order = class_order(declaration, self.classes) if self.classes else everything
        texts = _texts(self._model)
        self.missing_text = next((text for text in MISSING_TEXTS if text in texts), MISSING_TEXTS[-1])
        self._single = False

    def predict_proba(self, matrix: NDArray[np.floating]) -> Floats:
        """Return what the file itself answers: [rows, classes], classes in declared order."""
        try:
            answer = self._session.outputs([self._output], self._fed(matrix))[0]
        except Exception as error:  # noqa: BLE001  # ONNX Runtime's exceptions share no base class
            raise DataError(f"the ONNX model does not predict these rows: {_first_line(error)}") from None
        if isinstance(answer, list):
            answer = [[row[name] for name in self.classes] for row in answer]
        values = np.asarray(answer, dtype=np.float64).reshape(len(matrix), -1)
        if values.shape[1] == 1 and self.declaration.binary:
            self._single = True
            values = np.hstack([1 - values, values])
        if values.shape[1] != len(self.order) or (np.abs(values.sum(axis=1) - 1) > ROUNDING).any():
            raise DataError(
                f"the output '{self._output}' has no probability for each of {len(self.order)} classes: "
                "export the model with its probabilities"
            )
        return np.clip(values[:, self.order], 0, 1)

    def converted(self) -> bytes:
        """Return the served model; `predict_proba` has been called, which finds the width of the output."""
        graph = Graph()
        tensors = {}
        for value, indexes in zip(self._inputs, self._features, strict=True):
            tensors[value.name] = self._read(graph, value, indexes)
        probabilities = graph.embedded(_with_output(self._model, self._tensor), tensors)[0]
        probabilities = graph.cast(probabilities, TensorProto.FLOAT)
        if self._single:
            positive = graph.reshaped(probabilities, -1, 1)
            negative = graph.node("Sub", graph.constant(np.ones(1, dtype=np.float32)), positive)
            probabilities = graph.concatenated([negative, positive])
        return graph.finished(probabilities, self.order)

    def _matched(self) -> list[list[int]]:
        """Return the indexes of the features that each input reads."""
        features = self.declaration.features
        names = {letters(name): i for i, f in enumerate(features) for name in (f.name, f.column)}
        indexes = [names.get(letters(value.name)) for value in self._inputs]
        if len(self._inputs) == 1 and (indexes == [None] or len(features) > 1):
            return [self._matrix(self._inputs[0])]
        if sorted(-1 if index is None else index for index in indexes) != list(range(len(features))):
            found = ", ".join(value.name for value in self._inputs)
            declared = ", ".join(feature.column for feature in features)
            raise DataError(f"the ONNX model has the inputs {found}, model.toml the columns {declared}")
        matched = [[index] for index in indexes if index is not None]
        for value, (index,) in zip(self._inputs, matched, strict=True):
            _check_type(value, features[index])
        return matched

    def _matrix(self, value: ValueInfoProto) -> list[int]:
        width, expected = _shape(value)[-1:], len(self.declaration.features)
        if _kind(value) not in NUMBERS - WHOLE or (width[0] if width else 0) not in (0, expected):
            raise DataError(
                f"the ONNX model's only input '{value.name}' is no matrix of {expected} numbers, one for "
                "each feature of model.toml"
            )
        return list(range(expected))

    def _fed(self, matrix: NDArray[np.floating]) -> dict[str, NDArray[Any]]:
        """Return the inputs as the maker of the file would write them."""
        fed = {}
        for value, indexes in zip(self._inputs, self._features, strict=True):
            values: NDArray[Any] = matrix[:, indexes]
            if _kind(value) == TensorProto.STRING:
                texts = self._names(indexes[0])
                spelled = [self.missing_text if np.isnan(code) else texts[code] for code in values[:, 0]]
                values = np.array(spelled, dtype=object).reshape(-1, 1)
            else:
                values = values.astype(helper.tensor_dtype_to_np_dtype(_kind(value)))
            fed[value.name] = values.reshape(-1) if len(_shape(value)) == 1 else values
        return fed

    def _read(self, graph: Graph, value: ValueInfoProto, indexes: list[int]) -> str:
        """Return the tensor of one input, made from the columns of the served matrix."""
        flat = len(_shape(value)) == 1
        if _kind(value) == TensorProto.STRING:
            names = self._names(indexes[0])
            table = np.array([self.missing_text, *names.values()], dtype=object)
            tensor = graph.looked_up(indexes[0], list(names), table)
            return tensor if flat else graph.reshaped(tensor, -1, 1)
        tensor = graph.cast(graph.columns(indexes), _kind(value))
        return graph.reshaped(tensor, -1) if flat else tensor

    def _names(self, index: int) -> dict[float, str]:
        feature = self.declaration.features[index]
        codes = feature.codes if isinstance(feature, CategoryFeature) else {}
        return {float(code): name for name, code in codes.items()}


def loaded(content: bytes) -> ModelProto:
    """Return an ONNX model; DataError if it is none, or keeps tensors in other files."""
    try:
        if has_external_tensors(content):
            raise DataError(
                "the ONNX model keeps tensors in other files (external data): save it as one file"
            )
    except ValueError as error:
        raise DataError(f"the ONNX model cannot be used: {error}") from None
    return onnx.load_from_string(content)


def _check_operators(model: ModelProto) -> None:
    own = {function.domain for function in model.functions}
    for node in model.graph.node:
        if node.domain not in DOMAINS | own:
            raise DataError(
                f"the ONNX model uses '{node.op_type}' of the domain '{node.domain}': only operators of the "
                "standard, ai.onnx and ai.onnx.ml, are served"
            )
    versions = [operators.version for operators in model.opset_import if operators.domain in ("", "ai.onnx")]
    if versions and max(versions) < OLDEST_OPSET:
        raise DataError(
            f"the ONNX model is of operator set {max(versions)}: export it with {OLDEST_OPSET} or newer"
        )


def _check_type(value: ValueInfoProto, feature: Feature) -> None:
    """Reject an input that cannot take every value of its feature."""
    kind = _kind(value)
    name = TensorProto.DataType.Name(kind)
    if kind == TensorProto.STRING and not isinstance(feature, CategoryFeature):
        raise DataError(f"the input '{value.name}' reads strings, and {feature.name} is declared as a number")
    if kind not in NUMBERS | {TensorProto.STRING}:
        raise DataError(f"the input '{value.name}' reads {name}: only numbers and strings can be fed")
    if kind in WHOLE and feature.nullable:
        raise DataError(
            f"the input '{value.name}' reads {name}, which has no missing value: {feature.name} is nullable"
        )
    if kind in WHOLE and feature.type == "number":
        raise DataError(f"the input '{value.name}' reads {name}: declare {feature.name} as an integer")


def _probabilities(model: ModelProto) -> tuple[str, str, list[object]]:
    """Return the output of probabilities, the tensor behind it, and the classes if the model names them."""
    zipped = {node.output[0]: node for node in model.graph.node if node.op_type == "ZipMap"}
    for output in model.graph.output:
        if output.name in zipped:
            node = zipped[output.name]
            return output.name, node.input[0], _classes([node])
    tensors = [
        output.name
        for output in model.graph.output
        if output.type.tensor_type.elem_type in (TensorProto.FLOAT, TensorProto.DOUBLE)
    ]
    named = [name for name in tensors if "prob" in name.lower()] or tensors
    if len(named) != 1:
        found = ", ".join(output.name for output in model.graph.output)
        raise DataError(f"none of the ONNX model's outputs ({found}) is clearly that of probabilities")
    return named[0], named[0], _classes(model.graph.node)


def _classes(nodes: Any) -> list[object]:
    """Return the classes that a node names, in the order of their probabilities; none if no node does."""
    for node in nodes:
        for attribute in node.attribute:
            if attribute.name.startswith("classlabels"):
                return [value.decode() if isinstance(value, bytes) else value for value in _listed(attribute)]
    return []


def _listed(attribute: AttributeProto) -> list[Any]:
    return list(helper.get_attribute_value(attribute))


def _with_output(model: ModelProto, tensor: str) -> ModelProto:
    """Return the model with this output alone, and without ZipMap, which makes maps."""
    copied = ModelProto()
    copied.CopyFrom(model)
    kept: list[NodeProto] = [node for node in copied.graph.node if node.op_type != "ZipMap"]
    del copied.graph.node[:]
    copied.graph.node.extend(kept)
    del copied.graph.output[:]
    copied.graph.output.append(helper.make_tensor_value_info(tensor, TensorProto.FLOAT, None))
    return copied


def _texts(model: ModelProto) -> set[str]:
    """Return every string that the model compares with."""
    found: set[bytes] = set()
    for node in model.graph.node:
        for attribute in node.attribute:
            found |= set(attribute.strings)
    for constant in model.graph.initializer:
        if constant.data_type == TensorProto.STRING:
            found |= set(numpy_helper.to_array(constant).ravel().tolist())
    return {text.decode(errors="replace") if isinstance(text, bytes) else text for text in found}


def _kind(value: ValueInfoProto) -> int:
    return int(value.type.tensor_type.elem_type)


def _shape(value: ValueInfoProto) -> list[int]:
    return [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]


def letters(name: str) -> str:
    """Return a name as exporters spell it, which replace whatever is no letter, digit or underscore."""
    return re.sub(r"\W", "_", name)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
