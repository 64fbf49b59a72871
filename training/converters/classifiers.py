"""Classifiers whose converters in skl2onnx fail or answer otherwise, each corrected where it does."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper
from skl2onnx.common._registration import get_converter
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType
from skl2onnx.operator_converters import calibrated_classifier_cv
from skl2onnx.operator_converters.linear_classifier import convert_sklearn_linear_classifier
from skl2onnx.operator_converters.random_forest import convert_sklearn_random_forest_classifier
from skl2onnx.operator_converters.voting_classifier import convert_voting_classifier
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.isotonic import IsotonicRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

from training.converters.nodes import Nodes
from training.precision import at_most

TREE_OPSET = 3
"""Version of ai.onnx.ml from which trees take float64."""

AS_TENSOR = ("nodes_values", "class_weights", "base_values")


class ExactTrees:
    """A container that corrects the trees which a converter of float64 thresholds writes into it.

    ONNX has whole numbers, not booleans, for where missing values go. A threshold is rounded down to
    float32, so that every float32 falls on its side; float64 values get float64 thresholds.
    """

    def __init__(self, container: Any, nodes: Nodes, thresholds: NDArray[np.float64] | None = None) -> None:
        self._container = container
        self._nodes = nodes
        self._thresholds = thresholds

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)

    def add_node(self, kind: str, inputs: Any, outputs: Any, **attributes: Any) -> None:
        if kind != "TreeEnsembleClassifier":
            self._container.add_node(kind, inputs, outputs, **attributes)
            return
        written = attributes["nodes_values"] if self._thresholds is None else self._thresholds
        thresholds = np.asarray(written, dtype=np.float64)
        tracks = "nodes_missing_value_tracks_true"
        attributes[tracks] = [int(track) for track in attributes[tracks]]
        if self._nodes.precision is np.float32:
            attributes["nodes_values"] = at_most(thresholds)
            self._container.add_node(kind, inputs, outputs, **attributes)
            return
        attributes |= {"nodes_values": thresholds, "op_version": TREE_OPSET}
        for name in set(AS_TENSOR) & set(attributes):
            values = np.asarray(attributes.pop(name), dtype=np.float64)
            attributes[f"{name}_as_tensor"] = numpy_helper.from_array(values.ravel(), name)
        label, probabilities = outputs
        self._container.add_node(kind, inputs, [label, f"{probabilities}_float32"], **attributes)
        self._nodes.write("Cast", (f"{probabilities}_float32",), probabilities, to=TensorProto.DOUBLE)


def nodes_of(scope: Any, operator: Any, container: Any) -> Nodes:
    """Return what writes nodes in the precision of the values that an operator reads."""
    double = isinstance(operator.inputs[0].type, DoubleTensorType)
    return Nodes(scope, container, np.float64 if double else np.float32)


def hist_gradient_boosting(scope: Any, operator: Any, container: Any) -> None:
    step = operator.raw_operator
    trees = [tree.nodes for trees in step._predictors for tree in trees]  # noqa: SLF001
    thresholds = np.concatenate([np.where(nodes["is_leaf"], 0, nodes["num_threshold"]) for nodes in trees])
    nodes = nodes_of(scope, operator, container)
    exact = ExactTrees(container, nodes, thresholds)
    version = TREE_OPSET if nodes.precision is np.float64 else 1
    convert_sklearn_random_forest_classifier(scope, operator, exact, op_version=version)


class _Inner:
    """An operator of skl2onnx with other inputs and outputs."""

    def __init__(self, operator: Any, inputs: list[Any], outputs: list[Any]) -> None:
        self._operator = operator
        self.inputs = inputs
        self.outputs = outputs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._operator, name)

    @property
    def input_full_names(self) -> list[str]:
        return [variable.full_name for variable in self.inputs]

    @property
    def output_full_names(self) -> list[str]:
        return [variable.full_name for variable in self.outputs]


def in_float32(convert: Any) -> Any:
    """Return a converter of trees that cast float64 to float32 before they read it, as scikit-learn's do."""

    def run(scope: Any, operator: Any, container: Any) -> None:
        (given,), (label, output) = operator.inputs, operator.outputs
        if not isinstance(given.type, DoubleTensorType):
            convert(scope, operator, container)
            return
        values = scope.declare_local_variable("values", FloatTensorType(given.type.shape))
        probabilities = scope.declare_local_variable("probabilities", FloatTensorType(output.type.shape))
        nodes = Nodes(scope, container, np.float64)
        nodes.write("Cast", (given.full_name,), values.full_name, to=TensorProto.FLOAT)
        convert(scope, _Inner(operator, [values], [label, probabilities]), container)
        nodes.write("Cast", (probabilities.full_name,), output.full_name, to=TensorProto.DOUBLE)

    return run


def linear_discriminant(scope: Any, operator: Any, container: Any) -> None:
    """Of two classes the probability is that of one score, where skl2onnx takes the score twice."""
    step = operator.raw_operator
    if len(step.classes_) > 2:  # noqa: PLR2004
        convert_sklearn_linear_classifier(scope, operator, container)
        return
    nodes = nodes_of(scope, operator, container)
    scores = nodes.node("MatMul", operator.inputs[0].full_name, nodes.constant(step.coef_.T))
    positive = nodes.node("Sigmoid", nodes.node("Add", scores, nodes.constant(step.intercept_)))
    both = nodes.concatenated(nodes.node("Sub", nodes.constant(1), positive), positive)
    classified(nodes, operator, both)


def gaussian(scope: Any, operator: Any, container: Any) -> None:
    """Compute in float64 too, where skl2onnx computes in float32."""
    step = operator.raw_operator
    nodes = Nodes(scope, container, np.float64)
    values = nodes.node("Unsqueeze", operator.inputs[0].full_name, nodes.constant([1], np.int64))
    off = nodes.node("Sub", values, nodes.constant(step.theta_[None]))  # [rows, classes, features]
    squares = nodes.node("Div", nodes.node("Mul", off, off), nodes.constant(step.var_[None]))
    far = nodes.node("ReduceSum", squares, nodes.constant([2], np.int64), keepdims=0)
    level = np.log(step.class_prior_) - 0.5 * np.log(2 * np.pi * step.var_).sum(axis=1)
    joint = nodes.node("Sub", nodes.constant(level[None]), nodes.node("Mul", far, nodes.constant(0.5)))
    classified(nodes, operator, nodes.node("Softmax", joint, axis=1))


def classified(nodes: Nodes, operator: Any, probabilities: str) -> None:
    """Write the outputs of a classifier: the class, and the probabilities [rows, classes]."""
    place = nodes.node("ArgMax", probabilities, axis=1, keepdims=0)
    label, output = (variable.full_name for variable in operator.outputs)
    nodes.write("Gather", (nodes.labels(operator.raw_operator.classes_), place), label)
    nodes.write("Identity", (probabilities,), output)


def voting(scope: Any, operator: Any, container: Any) -> None:
    """Convert probabilities, whatever `transform` would return, and weights that are a list."""
    with _changed(operator.raw_operator):
        convert_voting_classifier(scope, operator, container)


@contextmanager
def _changed(voters: Any) -> Iterator[None]:
    before = voters.flatten_transform, voters.weights
    voters.flatten_transform = False
    if voters.weights is not None:
        voters.weights = np.array(voters._weights_not_none, dtype=np.float64)  # noqa: SLF001
    try:
        yield
    finally:
        voters.flatten_transform, voters.weights = before


def interpolated(nodes: Nodes, calibrator: IsotonicRegression, scores: str) -> str:
    """Return [rows, 1]: an isotonic regression is linear between its thresholds."""
    x = np.asarray(calibrator.X_thresholds_, dtype=np.float64)
    y = np.asarray(calibrator.y_thresholds_, dtype=np.float64)
    scores = nodes.node("Reshape", scores, nodes.constant([-1, 1], np.int64))
    if len(x) == 1:
        flat = nodes.node("Mul", scores, nodes.constant(0))
        return nodes.node("Add", flat, nodes.constant(y))
    passed = nodes.node("Sub", scores, nodes.constant(x[None, :-1]))
    share = nodes.node("Div", passed, nodes.constant(np.diff(x)[None]))
    share = nodes.node("Clip", share, nodes.constant(0), nodes.constant(1))
    risen = nodes.node("MatMul", share, nodes.constant(np.diff(y)[:, None]))
    return nodes.node("Add", risen, nodes.constant(y[0]))


def _isotonic(scope: Any, container: Any, model: Any, scores: str, k: int, kind: Any, _: Any) -> str:  # noqa: PLR0917
    return interpolated(Nodes(scope, container, kind), model.calibrators[k], scores)


# skl2onnx takes the nearest threshold instead; it has no other place for this.
calibrated_classifier_cv._transform_isotonic = _isotonic  # noqa: SLF001

CLASSIFIERS: dict[type, Any] = {
    HistGradientBoostingClassifier: hist_gradient_boosting,
    LinearDiscriminantAnalysis: linear_discriminant,
    VotingClassifier: voting,
}
"""Converters that take the place of those of skl2onnx."""

TREES = (DecisionTreeClassifier, ExtraTreesClassifier, GradientBoostingClassifier, RandomForestClassifier)

DOUBLE: dict[type, Any] = {GaussianNB: gaussian} | {
    kind: in_float32(get_converter(f"Sklearn{kind.__name__}")) for kind in TREES
}
"""Converters of classifiers that read float64."""
