"""What docs/models.md lists as exported is exported, and what it lists otherwise is a sentence."""

import re

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_selection import SelectKBest
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
)
from sklearn.tree import DecisionTreeClassifier

from bundle.declaration import load_declaration
from tests.harness import PROJECT
from training.data import load_recipe, load_training_data
from training.export import ExportError, export_files

IRIS = PROJECT / "models" / "iris"
CLASSIFIERS = [
    *(LinearDiscriminantAnalysis(), QuadraticDiscriminantAnalysis(), GaussianNB(), KNeighborsClassifier()),
    DecisionTreeClassifier(random_state=0),
    *(kind(10, random_state=0) for kind in (RandomForestClassifier, ExtraTreesClassifier)),
    *(kind(n_estimators=10, random_state=0) for kind in (GradientBoostingClassifier, AdaBoostClassifier)),
    HistGradientBoostingClassifier(max_iter=10, random_state=0),
    BaggingClassifier(random_state=0),
    CalibratedClassifierCV(LogisticRegression(max_iter=1000), cv=3),
    VotingClassifier([("a", LogisticRegression(max_iter=1000)), ("b", GaussianNB())], voting="soft"),
    StackingClassifier([("a", LogisticRegression(max_iter=1000)), ("b", GaussianNB())]),
]
SCALED = [
    LogisticRegression(),
    MLPClassifier((8,), max_iter=2000, random_state=0),
    SGDClassifier(loss="log_loss", random_state=0),
]
TRANSFORMERS = [
    *(SimpleImputer(), KNNImputer(), StandardScaler(), MinMaxScaler(), RobustScaler(), MaxAbsScaler()),
    *(Normalizer(), KBinsDiscretizer(3), PolynomialFeatures(2), SplineTransformer(), PowerTransformer()),
    *(QuantileTransformer(n_quantiles=50), FunctionTransformer(np.log1p), PCA(2), SelectKBest(k=2)),
]
PIPELINES: dict[str, Pipeline] = {
    **{type(step).__name__: make_pipeline(SimpleImputer(), step) for step in CLASSIFIERS},
    **{type(step).__name__: make_pipeline(StandardScaler(), step) for step in SCALED},
    **{type(step).__name__: make_pipeline(step, LogisticRegression(max_iter=1000)) for step in TRANSFORMERS},
}


def listed() -> tuple[list[str], list[str]]:
    """Return the first words of both columns of the page's table."""
    page = (PROJECT / "docs" / "models.md").read_text(encoding="utf-8")
    table = page.partition("<!-- exports -->")[2].partition("<!-- end of exports -->")[0]
    rows = re.findall(r"^\| ([A-Z]\w+|) ?\| (\w*)", table, re.MULTILINE)
    return [exported for exported, _ in rows], [other for _, other in rows if other]


def test_the_page_lists_what_is_tried() -> None:
    exported, others = listed()
    assert sorted(exported) == exported
    assert sorted(others) == others
    assert {*exported, *others} == set(PIPELINES)


@pytest.mark.parametrize("name", PIPELINES)
def test_a_step_exports_as_the_page_says(name: str) -> None:
    declaration = load_declaration(IRIS)
    data = load_training_data(IRIS, declaration, load_recipe(IRIS), None)
    pipeline = PIPELINES[name].fit(data.matrix, data.labels)
    exported, _ = listed()
    if name in exported:
        assert export_files(pipeline, declaration, data.matrix, lambda _: None)
    else:
        with pytest.raises(ExportError, match=r"cannot be exported to ONNX|ONNX and scikit-learn differ"):
            export_files(pipeline, declaration, data.matrix, lambda _: None)
