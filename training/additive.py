"""Derives the additive model of a fitted pipeline, if it has one, from the contributions of single values."""

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from bundle.additive import HIGHEST_CODE, AdditiveEvaluator, AdditiveModel, CategoryTerm, NumberTerm, Outputs
from bundle.declaration import CategoryFeature, Declaration, Feature
from bundle.encoding import Encoder, Matrix

TOLERANCE = 1e-9
"""Largest difference of a probability from scikit-learn's, both in float64."""


def derive(pipeline: Pipeline, declaration: Declaration, matrices: list[Matrix]) -> AdditiveModel | None:
    """Return the additive model; None if it does not reproduce the pipeline on the rows of the matrices.

    One feature of the declared example is changed at a time: the change of the log-odds is its contribution.
    The contribution of a number is linear between both ends of its range.
    """
    if not hasattr(pipeline, "decision_function") or not all(map(_tabular, declaration.features)):
        return None
    base = np.array(Encoder(declaration).encode_row(declaration.example))

    def log_odds(column: int, values: list[float]) -> NDArray[np.float64]:
        rows = np.tile(base, (len(values), 1))
        rows[:, column] = values
        outputs = np.asarray(pipeline.decision_function(rows), dtype=np.float64)
        return outputs.reshape(len(values), -1)

    at_base = log_odds(0, [float(base[0])])[0]
    terms: list[NumberTerm | CategoryTerm] = []
    for column, feature in enumerate(declaration.features):
        values = [*_values(feature), *([np.nan] if feature.nullable else [])]
        rises = (log_odds(column, values) - at_base).tolist()
        missing: Outputs | None = rises.pop() if feature.nullable else None
        if isinstance(feature, CategoryFeature):
            contributions = dict(zip(feature.codes.values(), rises, strict=True))
            terms.append(CategoryTerm(contributions=contributions, missing=missing))
            continue
        low, high = feature.range
        slope = [(after - before) / (high - low) for before, after in zip(*rises, strict=True)]
        offset = [before - rate * low for before, rate in zip(rises[0], slope, strict=True)]
        terms.append(NumberTerm(offset=offset, slope=slope, missing=missing))
    model = AdditiveModel(intercept=at_base.tolist(), terms=terms)
    return model if _difference(pipeline, model, matrices) < TOLERANCE else None


def _tabular(feature: Feature) -> bool:
    codes = feature.codes.values() if isinstance(feature, CategoryFeature) else ()
    return all(0 <= code <= HIGHEST_CODE for code in codes)


def _values(feature: Feature) -> list[float]:
    if isinstance(feature, CategoryFeature):
        return [float(code) for code in feature.codes.values()]
    return list(feature.range)


def _difference(pipeline: Pipeline, model: AdditiveModel, matrices: list[Matrix]) -> float:
    evaluator = AdditiveEvaluator(model)
    exact = [matrix.astype(np.float64) for matrix in matrices]
    return max(
        float(np.abs(evaluator.probabilities(matrix) - pipeline.predict_proba(matrix)).max())
        for matrix in exact
    )
