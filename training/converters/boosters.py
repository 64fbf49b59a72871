"""XGBoost and LightGBM, where requirements/boosters.txt is installed."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from training.converters.classifiers import ExactTrees, in_float32, nodes_of

BOOSTERS: dict[type, Callable[[Any, Any, Any], None]] = {}
"""Converters of the classifiers that are installed."""

PACKAGES = {"XGBClassifier": "xgboost", "LGBMClassifier": "lightgbm"}


with suppress(ImportError):
    from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost
    from xgboost import XGBClassifier

    BOOSTERS[XGBClassifier] = in_float32(convert_xgboost)

with suppress(ImportError):
    from lightgbm import LGBMClassifier
    from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm

    def _convert(scope: Any, operator: Any, container: Any) -> None:
        convert_lightgbm(scope, operator, ExactTrees(container, nodes_of(scope, operator, container)))

    BOOSTERS[LGBMClassifier] = _convert
