"""What to do about a step that cannot be exported to ONNX, or that is exported and gives other answers."""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

import numpy as np
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

REMEDIES = {
    "FunctionTransformer": "compute its columns in the table instead",
    "HistGradientBoostingClassifier": "fit a GradientBoostingClassifier, behind a SimpleImputer, instead",
    "KBinsDiscretizer": "fit it with encode='onehot-dense' or 'ordinal'",
    "SplineTransformer": "fit a KBinsDiscretizer with encode='onehot-dense', or PolynomialFeatures, instead",
    "VotingClassifier": "set voting='soft' and flatten_transform=False, or fit a StackingClassifier instead",
}
"""By the name of a class."""

COMPUTING = (
    *(MaxAbsScaler, MinMaxScaler, Normalizer, PolynomialFeatures, PowerTransformer, QuantileTransformer),
    *(RobustScaler, StandardScaler),
)
"""Steps whose results float32 rounds, and which trees can do without."""

INNER = ("steps", "transformers_", "transformer_list", "estimators_", "calibrated_classifiers_")


def not_exported(step: str, reason: str) -> str:
    """Return that a step, whose name may be in quotes, cannot be exported, and what to do or else why."""
    remedy = REMEDIES.get(step.strip("'"), reason.rstrip(".,: "))
    return f"{step} cannot be exported to ONNX: {remedy} (docs/models.md lists the steps that can)"


def for_other_answers(steps: Iterable[Any]) -> str:
    """Return why the export of fitted steps may give other probabilities, and what to do."""
    found = list(chain.from_iterable(map(_parts, steps)))
    computing = dict.fromkeys(type(part).__name__ for part in found if isinstance(part, COMPUTING))
    if computing and any(hasattr(part, "tree_") for part in found):
        names = ", ".join(computing)
        return (
            f"trees send a value that {names} computes and float32 rounds to the other side of a split: "
            f"fit them without {names}, which trees do not need"
        )
    return "values are served as float32, with seven digits: leave out the step that tells more apart"


def _parts(step: Any) -> Iterator[Any]:
    """Yield a fitted step and all that it is made of."""
    yield step
    for name in INNER:
        inner = getattr(step, name, ())
        for member in inner.ravel() if isinstance(inner, np.ndarray) else inner:
            yield from _parts(member[1] if isinstance(member, tuple) else member)
    for name in ("estimator", "estimator_"):
        if hasattr(step, name):
            yield from _parts(getattr(step, name))
