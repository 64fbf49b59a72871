"""Each step and estimator that docs/models.md lists is exported as it says, or rejected in a sentence."""

import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import RobustScaler
from sklearn.tree import DecisionTreeClassifier

from bundle.declaration import load_declaration
from bundle.encoding import Matrix
from bundle.manifest import MODEL_FILE
from bundle.runtime import Session
from tests.estimators import BOOSTERS, CASES, PAGE, WAYS, Case, as_expected, refusal
from tests.harness import PROJECT
from training.converters import scalers
from training.converters.nodes import Nodes
from training.converters.registry import register
from training.data import TrainingData, load_recipe, load_training_data
from training.edges import edge_rows
from training.export import ExportError, ParityError, export_files
from training.fitting import fit, predict_classes
from training.metrics import Floats
from training.table import DataError

IRIS = PROJECT / "models" / "iris"
OURS = [case for case in CASES if not any(booster in case.name for booster in BOOSTERS)]


def listed() -> dict[str, list[str]]:
    """Return what the page says of each case, in a recipe and imported."""
    table = PAGE.read_text(encoding="utf-8").partition("<!-- begin exports -->")[2].partition("<!-- end")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")][1:]
    return {name: ways[:2] for name, *ways in rows}


def test_the_page_lists_what_is_tried() -> None:
    said = {case.name: [refusal(case, way) for way in WAYS] for case in OURS}
    found = {
        name: ways for name, ways in listed().items() if not any(booster in name for booster in BOOSTERS)
    }
    assert found == {
        name: [f"no: {remedy}" if remedy else "yes" for remedy in remedies] for name, remedies in said.items()
    }


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", OURS, ids=lambda case: case.name)
def test_a_step_exports_as_the_page_says(case: Case, way: str, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outcome = WAYS[way](case, tmp_path)
    assert as_expected(case, way, outcome), outcome
    assert "\n" not in outcome.sentence


@pytest.fixture(scope="module")
def iris() -> TrainingData:
    return load_training_data(IRIS, load_declaration(IRIS), load_recipe(IRIS), None)


class Ratio(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A transformer as a recipe defines it: the first column by the second."""

    def fit(self, _x: object, _y: object = None) -> "Ratio":
        self.fitted_ = True
        return self

    def transform(self, x: Matrix) -> Matrix:
        return np.asarray(x[:, [0]] / x[:, [1]])


def convert_ratio(nodes: Nodes, _step: Ratio, values: str) -> str:
    return nodes.node("Div", nodes.columns(values, [0]), nodes.columns(values, [1]))


def convert_wrongly(nodes: Nodes, _step: Ratio, values: str) -> str:
    return nodes.columns(values, [0])


def test_a_transformer_of_a_recipe_is_exported_by_the_converter_beside_it(iris: TrainingData) -> None:
    pipeline = fit(make_pipeline(Ratio(), LogisticRegression()), iris.matrix, iris.labels)
    register({Ratio: convert_ratio})
    files = export_files(pipeline, load_declaration(IRIS), iris.matrix, lambda _: None)
    answers = Session(files[MODEL_FILE]).run(iris.matrix)
    assert np.abs(answers - predict_classes(pipeline, iris.matrix, 3)).max() < 1e-5


def test_a_converter_that_computes_something_else_is_noticed(iris: TrainingData) -> None:
    pipeline = fit(make_pipeline(Ratio(), LogisticRegression()), iris.matrix, iris.labels)
    register({Ratio: convert_wrongly})
    with pytest.raises(ParityError, match=r"ONNX and scikit-learn differ by"):
        export_files(pipeline, load_declaration(IRIS), iris.matrix, lambda _: None)


RECIPE = """
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

class Own(TransformerMixin, BaseEstimator):
    def fit(self, x, y=None):
        return self
    def transform(self, x):
        return x

def build_pipeline(estimator, declaration):
    return make_pipeline(Own(), LogisticRegression(max_iter=1000))
"""


@pytest.mark.parametrize(
    ("added", "sentence"),
    [
        ("", "one of your own belongs into CONVERTERS of recipe.py"),
        ("CONVERTERS = [Own]", "recipe.py: CONVERTERS is no mapping from a class to the function"),
        ("CONVERTERS = {Own: lambda nodes, step, values: None}", "the converter of 'Own' returns no name"),
        ("CONVERTERS = {Own: lambda nodes, step, values: 1 / 0}", "'Own' cannot be exported to ONNX: Zero"),
        ("CONVERTERS = {Own: lambda nodes, step, values: values}", ""),
    ],
)
def test_a_recipe_has_converters_of_its_own_or_a_sentence(
    tmp_path: Path, iris: TrainingData, added: str, sentence: str
) -> None:
    (tmp_path / "recipe.py").write_text(RECIPE + added, encoding="utf-8")
    declaration = load_declaration(IRIS)

    def exported() -> dict[str, bytes]:
        pipeline = load_recipe(tmp_path).build_pipeline("any", declaration)
        return export_files(fit(pipeline, iris.matrix, iris.labels), declaration, iris.matrix, lambda _: None)

    if not sentence:
        assert exported()
        return
    with pytest.raises((DataError, ExportError), match=re.escape(sentence)):
        exported()


def test_a_scaler_that_rounds_otherwise_is_noticed_at_the_edges_of_splits(
    iris: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Multiplying by the inverse of a scale changes the last digit, which no other row tells."""
    pipeline = fit(
        make_pipeline(RobustScaler(), DecisionTreeClassifier(random_state=0)), iris.matrix, iris.labels
    )
    declaration = load_declaration(IRIS)
    assert export_files(pipeline, declaration, iris.matrix, lambda _: None)

    def inverse(nodes: Nodes, step: RobustScaler, values: str) -> str:
        centered = nodes.node("Sub", values, nodes.constant(step.center_ + 1e-6))
        return nodes.node("Mul", centered, nodes.constant(1 / step.scale_))

    monkeypatch.setitem(scalers.SCALERS, RobustScaler, inverse)
    with pytest.raises(ParityError, match="fit them without RobustScaler"):
        export_files(pipeline, declaration, iris.matrix, lambda _: None)


def test_edges_are_neighbours_that_are_answered_otherwise(iris: TrainingData) -> None:
    tree = fit(make_pipeline(DecisionTreeClassifier(max_depth=2, random_state=0)), iris.matrix, iris.labels)

    def predict(matrix: Matrix) -> Floats:
        return predict_classes(tree, matrix, 3)

    low, high = np.split(edge_rows(tree, predict, load_declaration(IRIS), iris.matrix), 2)
    apart = (low != high).sum(axis=1)
    assert (apart <= 1).all()
    between = np.nextafter(low, high)
    assert np.array_equal(between, high)
    assert (np.abs(predict(low) - predict(high)).max(axis=1) > 0).sum() > 30
