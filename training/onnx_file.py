"""An ONNX file of another maker, as a model of the encoder's matrix.

It has one input for each feature, named after its column (numbers or strings, [n, 1] or [n]), or a single
matrix of numbers [n, features].
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from bundle.declaration import Declaration
from bundle.encoding import Matrix
from bundle.features import CategoryFeature, Feature
from bundle.manifest import PARITY_TOLERANCE
from bundle.onnx import has_external_tensors
from bundle.runtime import Session, UnusableModelError
from training.frames import class_order
from training.graph import OLDEST_OPSET, Graph
from training.metrics import Floats
from training.onnx_classes import (
    classes_of,
    label_output,
    named_classes,
    picked_classes,
    proven_order,
    unproven,
)
from training.table import DataError

DOMAINS = {"", "ai.onnx", "ai.onnx.ml"}
MISSING_TEXTS = ("nan", "NaN", "None", "missing", "")
"""How makers spell a missing string: as the model knows it, else the last."""

TEXT_OPERATORS = {
    "ArrayFeatureExtractor", "Concat", "Flatten", "Gather", "Identity", "Reshape", "Slice", "Split",
    "Squeeze", "StringNormalizer", "Transpose", "Unsqueeze", "Where",
}  # fmt: skip
"""Operators that return strings where they read strings."""

WHOLE = {TensorProto.INT32, TensorProto.INT64, TensorProto.BOOL}
NUMBERS = {TensorProto.FLOAT, TensorProto.DOUBLE} | WHOLE
ROUNDING = 1e-3
"""Largest difference of a row's sum of probabilities from 1, and of a probability from 0 to 1."""

ALONE = 8
"""Rows that are predicted alone, too."""

LIMITS = {
    "operator set": r"Opset (\d+) is under development.*till opset (\d+)",
    "IR version": r"IR version: (\d+), max supported IR version: (\d+)",
}
"""What ONNX Runtime says of a model that is too new for it."""


class OnnxModel:
    estimator = "ONNX"

    def __init__(
        self, content: bytes, declaration: Declaration, matrix: Matrix, named: Sequence[str] = ()
    ) -> None:
        """Load a model; rows of `matrix` prove the order of its classes, unless it or `named` says it."""
        self._model = loaded(content)
        _check_operators(self._model)
        self._session = _session(content)
        self.declaration = declaration
        self._inputs = _inputs(self._model)
        _check_batch(self._inputs)
        self._features = self._matched()
        self._output, self._tensor, self.classes = _probabilities(self._model)
        self._single = False
        self.order = self._found_order(matrix, named)

    def predict_proba(self, matrix: NDArray[np.floating]) -> Floats:
        """Return what the file itself answers: [rows, classes], classes in declared order."""
        return np.clip(self._answers(matrix)[:, self.order], 0, 1)

    def compared(self, index: int) -> set[str]:
        """Return the texts with which the file compares a feature."""
        inputs = zip(self._inputs, self._features, strict=True)
        return {text for value, read in inputs if read == [index] for text in _texts(self._model, value.name)}

    def _found_order(self, matrix: Matrix, named: Sequence[str]) -> list[int]:
        """Return the place of each declared class among the model's probabilities."""
        values = self._answers(matrix)
        self._check_alone(matrix, values)
        if self.classes:
            order = class_order(self.declaration, self.classes)
            if named and order != class_order(self.declaration, named):
                listed = ", ".join(map(str, self.classes))
                raise DataError(f"the ONNX model names its classes in the order {listed}: leave CLASSES out")
            return order
        if named:
            return class_order(self.declaration, named)
        label = label_output(self._model)
        order_proven = label and proven_order(
            self.declaration,
            values,
            np.asarray(self._run(label, matrix)).reshape(len(matrix)),
            picked_classes(self._model, label),
        )
        if not order_proven:
            raise unproven(self._output, self.declaration)
        return order_proven

    def _answers(self, matrix: NDArray[np.floating]) -> Floats:
        """Return the probabilities [rows, classes] in the file's order; DataError if they are none."""
        answer = self._run(self._output, matrix)
        if isinstance(answer, list):
            answer = [[row[name] for name in self.classes] for row in answer]
        classes = len(self.declaration.classes)
        values = np.asarray(answer, dtype=np.float64).reshape(len(matrix), -1)
        low, high = values.min(), values.max()
        if values.shape[1] == 1 and self.declaration.binary:
            self._single = True
            values = np.hstack([1 - values, values])
        sums = values.sum(axis=1)
        if not (
            values.shape[1] == classes
            and -ROUNDING <= low <= high <= 1 + ROUNDING
            and (np.abs(sums - 1) <= ROUNDING).all()
        ):
            raise DataError(
                f"the output '{self._output}' has no probability for each of {classes} classes: its values "
                f"go from {low:.3g} to {high:.3g}, and those of a row add up to {sums.min():.3g} to "
                f"{sums.max():.3g}; export the model with its probabilities"
            )
        return values

    def _run(self, output: str, matrix: NDArray[np.floating]) -> Any:
        try:
            return self._session.outputs([output], self._fed(matrix))[0]
        except Exception as error:  # noqa: BLE001  # ONNX Runtime's exceptions share no base class
            raise DataError(f"the ONNX model does not predict these rows: {_first_line(error)}") from None

    def _check_alone(self, matrix: Matrix, values: Floats) -> None:
        """Reject a model whose answer to a row depends on the other rows of a batch."""
        for row in np.linspace(0, len(matrix) - 1, ALONE).astype(np.int64):
            difference = np.abs(self._answers(matrix[row : row + 1])[0] - values[row]).max()
            if not difference < PARITY_TOLERANCE:
                raise DataError(
                    f"the ONNX model's answer to a row depends on the other rows of the batch, by "
                    f"{difference:.2g}: export it as it predicts (eval mode), without sums or means over rows"
                )

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
                missing = self._missing_text(value, indexes[0])
                spelled = [missing if np.isnan(code) else texts[code] for code in values[:, 0]]
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
            missing = self._missing_text(value, indexes[0])
            table = np.array([missing, *names.values()], dtype=object)
            tensor = graph.looked_up(indexes[0], list(names), table)
            return tensor if flat else graph.reshaped(tensor, -1, 1)
        tensor = graph.cast(graph.columns(indexes), _kind(value))
        return graph.reshaped(tensor, -1) if flat else tensor

    def _missing_text(self, value: ValueInfoProto, index: int) -> str:
        """Return how the maker spelled a missing value of an input, which is none of its categories."""
        feature = self.declaration.features[index]
        known = set(_texts(self._model, value.name)) - set(self._names(index).values())
        found = [text for text in MISSING_TEXTS if text in known]
        if feature.nullable and len(found) > 1:
            listed = " or ".join(f"'{text}'" for text in found)
            raise DataError(
                f"the ONNX model may read a missing value of '{feature.column}' as {listed}: "
                "declare as a category what is one, or export it with one spelling"
            )
        return found[0] if found else MISSING_TEXTS[-1]

    def _names(self, index: int) -> dict[float, str]:
        feature = self.declaration.features[index]
        codes = feature.encoded if isinstance(feature, CategoryFeature) else {}
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


def input_names(content: bytes) -> list[str]:
    return [value.name for value in _inputs(loaded(content))]


def _inputs(model: ModelProto) -> list[ValueInfoProto]:
    """Return the inputs without those that have a default, which old files list, too."""
    constants = {constant.name for constant in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    if not inputs:
        raise DataError("the ONNX model has no input")
    return inputs


def numeric_inputs(content: bytes) -> set[str] | None:
    """Return the names of the inputs that read numbers; None if the only input is a matrix of them."""
    inputs = _inputs(loaded(content))
    numbers = {letters(value.name) for value in inputs if _kind(value) in NUMBERS}
    return None if len(inputs) == 1 and numbers else numbers


def compared_texts(content: bytes, column: str) -> list[str]:
    """Return the texts with which a model compares a column, but for those of a missing value."""
    model = loaded(content)
    names = [value.name for value in _inputs(model) if letters(value.name) == letters(column)]
    texts = dict.fromkeys(text for name in names for text in _texts(model, name))
    return [text for text in texts if text not in MISSING_TEXTS]


def _session(content: bytes) -> Session:
    try:
        return Session(content)
    except UnusableModelError as error:
        reason = str(error.__cause__)
        for what, supported in LIMITS.items():
            if found := re.search(supported, reason, re.DOTALL):
                raise DataError(
                    f"the ONNX model is of {what} {found[1]}, and {found[2]} is the newest that is served: "
                    "export it with an older one"
                ) from None
        raise DataError(f"the ONNX model cannot be used: {error}") from None


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


def _check_batch(inputs: Sequence[ValueInfoProto]) -> None:
    for value in inputs:
        if rows := next(iter(_shape(value)), 0):
            raise DataError(
                f"the ONNX model's input '{value.name}' takes exactly {rows} row(s) at once: export it "
                "with a first dimension of any size (dynamic_axes in PyTorch, None in skl2onnx)"
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
            return output.name, node.input[0], classes_of(node)
    tensors = [
        output.name
        for output in model.graph.output
        if output.type.tensor_type.elem_type in (TensorProto.FLOAT, TensorProto.DOUBLE)
    ]
    named = [name for name in tensors if "prob" in name.lower()] or tensors
    if len(named) != 1:
        found = ", ".join(output.name for output in model.graph.output)
        raise DataError(f"none of the ONNX model's outputs ({found}) is clearly that of probabilities")
    return named[0], named[0], named_classes(model, named[0])


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


def _texts(model: ModelProto, tensor: str) -> Iterator[str]:
    """Yield every string with which the model compares an input, or what operators make of it."""
    constants = {c.name: c for c in model.graph.initializer if c.data_type == TensorProto.STRING}
    reached = {tensor}
    for node in model.graph.node:  # sorted: each node after those that it reads
        if reached.isdisjoint(node.input):
            continue
        if node.op_type in TEXT_OPERATORS:
            reached |= set(node.output)
        found = [text for attribute in node.attribute for text in attribute.strings]
        for name in node.input:
            found += numpy_helper.to_array(constants[name]).ravel().tolist() if name in constants else []
        yield from (text.decode(errors="replace") if isinstance(text, bytes) else text for text in found)


def _kind(value: ValueInfoProto) -> int:
    return int(value.type.tensor_type.elem_type)


def _shape(value: ValueInfoProto) -> list[int]:
    return [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]


def letters(name: str) -> str:
    """Return a name as exporters spell it, which replace whatever is no letter, digit or underscore."""
    return re.sub(r"\W", "_", name)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
