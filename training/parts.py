"""What a model is made of: its steps and the estimators within them, fitted or not."""

from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import KBinsDiscretizer

FITTED = (
    *("estimator_", "estimators_", "best_estimator_", "calibrated_classifiers_", "final_estimator_"),
    *(
        "steps",
        "transformers",
        "transformers_",
        "transformer_list",
        "estimators",
        "estimator",
        "base_estimator",
    ),
    *("final_estimator", "indicator_"),
)
"""Attributes that hold other estimators."""

TREES = ("Tree", "Forest", "Boost", "XGB", "LGBM")
"""In the names of classifiers that split a number in two."""


def parts(model: Any) -> Iterator[Any]:
    """Yield a model and all that it is made of, each once."""
    seen: set[int] = set()
    waiting = [model]
    while waiting:
        part = waiting.pop(0)
        if id(part) in seen or isinstance(part, str | type(None)):
            continue
        seen.add(id(part))
        yield part
        waiting += chain.from_iterable(_members(getattr(part, name, None)) for name in FITTED)


def _members(value: Any) -> Iterator[Any]:
    """Yield the estimators of an attribute: itself, or those in a list, in pairs or in an array."""
    if isinstance(value, np.ndarray):
        value = value.ravel().tolist()
    if isinstance(value, list | tuple):
        for member in value:
            yield from _members(member)
    elif isinstance(value, BaseEstimator) or hasattr(value, "calibrators"):
        yield value


def jumps(model: Any) -> bool:
    """Return whether a model has a part whose answer jumps where a number passes a threshold."""
    return any(
        hasattr(part, "tree_")
        or isinstance(part, KBinsDiscretizer)
        or any(name in type(part).__name__ for name in TREES)
        for part in parts(model)
    )


def before_jumps(model: Any) -> Iterator[Any]:
    """Yield the parts whose results go to a part that jumps."""
    for part in parts(model):
        if isinstance(part, Pipeline):
            for place, (_, step) in enumerate(part.steps):
                if any(jumps(later) for _, later in part.steps[place + 1 :]):
                    yield from parts(step)


CONTAINERS = (Pipeline, ColumnTransformer, FeatureUnion)
