"""Rejects steps that cannot be served before anything is fitted: a sentence names the step and the remedy."""

from typing import Any

from skl2onnx._supported_operators import sklearn_operator_name_map
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import HistGradientBoostingClassifier, StackingClassifier, VotingClassifier
from sklearn.feature_selection import SelectorMixin
from sklearn.model_selection._search import BaseSearchCV
from sklearn.preprocessing import FunctionTransformer

from training.converters.boosters import PACKAGES
from training.converters.functions import check_function
from training.encoders import THRESHOLDS
from training.parts import before_jumps, parts
from training.remedies import not_exported
from training.table import DataError

INEXACT = ("QuantileTransformer",)
"""Steps whose results ONNX only comes near to, so that trees behind them answer otherwise."""


def check_exportable(model: Any) -> None:
    """Reject a pipeline with a step that cannot be exported, fitted or not."""
    for part in parts(model):
        for refused in (_categories, _calibrated, _votes):
            refused(part)
    for part in before_jumps(model):
        name = type(part).__name__
        if name in INEXACT:
            raise DataError(
                f"'{name}' before trees cannot be exported to ONNX exactly: leave it out, as trees need no "
                "scaling (docs/models.md lists the steps that can)"
            )


def gives_probabilities(classifier: Any) -> bool:
    """Return whether an unfitted classifier has predict_proba, which a stack only knows when it is fitted."""
    if isinstance(classifier, StackingClassifier) and classifier.final_estimator is None:
        return True
    return hasattr(classifier, "predict_proba")


def check_converters(model: Any) -> None:
    """Reject a step for which there is no converter; a recipe's own is tried when it is fitted."""
    unread = {id(part) for step in parts(model) if isinstance(step, SelectorMixin) for part in parts(step)}
    for part in parts(model):
        if isinstance(part, FunctionTransformer):
            check_function(part)
        elif isinstance(part, SelectorMixin) or id(part) not in unread:
            _check_converter(type(part))


def _check_converter(kind: type) -> None:
    if kind.__name__ in PACKAGES and not _has_converter(kind):
        remedy = "make boosters installs its converter into .venv"
        raise DataError(not_exported(f"'{kind.__name__}'", remedy))
    if kind.__module__.startswith("sklearn.") and not _has_converter(kind):
        raise DataError(not_exported(f"'{kind.__name__}'", "there is no converter for it"))


def _has_converter(kind: type) -> bool:
    known = kind in sklearn_operator_name_map or issubclass(kind, (BaseSearchCV, *THRESHOLDS))
    return known or kind.__name__ == "_CalibratedClassifier"


def _categories(part: Any) -> None:
    """HistGradientBoosting with splits by sets of categories is exported without an error, and is wrong."""
    if not isinstance(part, HistGradientBoostingClassifier):
        return
    fitted = getattr(part, "is_categorical_", None)
    named = part.categorical_features
    asked = named is not None and not (isinstance(named, str) and named == "from_dtype")
    if asked or (fitted is not None and fitted.any()):
        raise DataError(
            "'HistGradientBoostingClassifier' with categorical_features cannot be exported to ONNX: leave "
            "categorical_features out, and encode categories before it (OneHotEncoder or OrdinalEncoder)"
        )


def _calibrated(part: Any) -> None:
    """The converter writes other probabilities of a LightGBM that is inside of another estimator."""
    if isinstance(part, CalibratedClassifierCV):
        for inner in parts(part):
            if type(inner).__name__ == "LGBMClassifier":
                raise DataError(
                    "'LGBMClassifier' inside CalibratedClassifierCV cannot be exported to ONNX: calibrate a "
                    "HistGradientBoostingClassifier or an XGBClassifier instead, or leave the calibration out"
                )


def _votes(part: Any) -> None:
    if isinstance(part, VotingClassifier) and part.voting == "hard":
        raise DataError(
            "'VotingClassifier' with voting='hard' has no predict_proba, so it cannot be served: set "
            "voting='soft'"
        )
