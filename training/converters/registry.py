"""Registers converters with skl2onnx, and converts."""

from collections.abc import Mapping
from typing import Any

from skl2onnx import convert_sklearn, update_registered_converter
from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType
from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes

from training.converters.boosters import BOOSTERS
from training.converters.classifiers import CLASSIFIERS, DOUBLE
from training.converters.columns import COLUMNS
from training.converters.functions import FUNCTIONS
from training.converters.missing import IMPUTERS, INDICATORS
from training.converters.nodes import Convert, converter, shape
from training.converters.pieces import PIECES
from training.converters.scalers import SCALERS
from training.parts import jumps, parts

OPSETS = {"": 18, "ai.onnx.ml": 3}
OPTIONS = {
    "zipmap": [True, False, "columns"],
    "output_class_labels": [False, True],
    "nocl": [True, False],
}
RAW_SCORES = {"raw_scores": [True, False]}
"""Of classifiers with a decision_function, which calibration reads."""

TRANSFORMERS: dict[type, Convert] = {**FUNCTIONS, **INDICATORS, **PIECES}


def register(transformers: Mapping[type, Convert]) -> None:
    """Let skl2onnx convert these types of transformers."""
    for kind, convert in transformers.items():
        alias = f"{kind.__module__}.{kind.__qualname__}"
        update_registered_converter(kind, alias, shape, converter(convert))


register(TRANSFORMERS)
for kind, classify in (CLASSIFIERS | BOOSTERS).items():
    update_registered_converter(
        kind,
        f"{kind.__module__}.{kind.__qualname__}",
        calculate_linear_classifier_output_shapes,
        classify,
        options=OPTIONS | (RAW_SCORES if hasattr(kind, "decision_function") else {}),
    )


def converted(
    model: Any,
    name: str,
    width: int,
    *,
    double: bool = False,
    whole: Any = None,
    opsets: Any = OPSETS,
) -> Any:
    """Return a fitted model or a part of it as ONNX, with an input of this name and so many columns.

    `whole` is the model that a part is from: what comes before trees is then converted exactly.
    """
    steps = dict(SCALERS) if double or jumps(whole or model) else {}
    if double or any(getattr(part, "add_indicator", False) for part in parts(model)):
        steps |= IMPUTERS
    if double:
        steps |= COLUMNS
    convert = {kind: converter(write) for kind, write in steps.items()} | (DOUBLE if double else {})
    return convert_sklearn(
        model,
        name="pipeline",
        initial_types=[(name, (DoubleTensorType if double else FloatTensorType)([None, width]))],
        options={"zipmap": False} if hasattr(model, "predict_proba") else None,
        target_opset=OPSETS if any(type(part) in BOOSTERS for part in parts(model)) else opsets,
        custom_conversion_functions=convert,
        custom_shape_calculators=dict.fromkeys(steps, shape),
    )
