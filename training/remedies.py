"""What to do about a step that cannot be exported to ONNX, or that is exported and gives other answers."""

from collections.abc import Sequence
from itertools import chain
from typing import Any

from sklearn.preprocessing import (
    MaxAbsScaler,
    MinMaxScaler,
    Normalizer,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)

from training.parts import jumps, parts

REMEDIES = {
    "IterativeImputer": "fill missing values with a SimpleImputer or a KNNImputer instead",
}
"""By the name of a class."""

COMPUTING = (
    *(MaxAbsScaler, MinMaxScaler, Normalizer, PolynomialFeatures, PowerTransformer, QuantileTransformer),
    *(RobustScaler, StandardScaler),
)
"""Steps whose results float32 rounds, and which trees can do without."""


def not_exported(step: str, reason: str) -> str:
    """Return that a step, whose name may be in quotes, cannot be exported, and what to do or else why."""
    remedy = REMEDIES.get(step.strip("'"), reason.rstrip(".,: "))
    return f"{step} cannot be exported to ONNX: {remedy} (docs/models.md lists the steps that can)"


def for_other_answers(steps: Sequence[Any]) -> str:
    """Return why the export of fitted steps may give other probabilities, and what to do."""
    found = list(chain.from_iterable(map(parts, steps)))
    if any(getattr(part, "method", None) == "isotonic" for part in found):
        return "an isotonic calibration is steeper than seven digits can tell: fit it with method='sigmoid'"
    computing = dict.fromkeys(type(part).__name__ for part in found if isinstance(part, COMPUTING))
    if computing and any(map(jumps, steps)):
        names = ", ".join(computing)
        return (
            f"trees send a value that {names} computes and float32 rounds to the other side of a split: "
            f"fit them without {names}, which trees do not need"
        )
    return "values are served as float32, with seven digits: leave out the step that tells more apart"
