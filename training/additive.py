"""Derives the additive model of a fitted pipeline, if it has one, from the contributions of single values."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from bundle.additive import HIGHEST_CODE, AdditiveEvaluator, AdditiveModel, CategoryTerm, NumberTerm, Outputs
from bundle.declaration import Declaration
from bundle.encoding import Encoder, Matrix
from bundle.features import CategoryFeature, Feature, NumberFeature

TOLERANCE = 1e-9
"""Largest difference of a probability from scikit-learn's, both in float64."""


def derive(pipeline: Pipeline, declaration: Declaration, matrices: list[Matrix]) -> AdditiveModel | None:
    """Return the additive model; None if it does not reproduce the pipeline on the rows of the matrices.

    One feature of the declared example is changed at a time: the change of the log-odds is its contribution.
    The contribution of a number is linear between both ends of its range, or of the matrices if it has none.
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
    terms = []
    for column, feature in enumerate(declaration.features):
        values = _values(feature, [matrix[:, column] for matrix in matrices])
        if isinstance(feature, NumberFeature) and values[0] == values[1]:
            return None  # its contribution is not seen
        asked = [*values, *([np.nan] if feature.nullable else [])]
        terms.append(_term(feature, values, (log_odds(column, asked) - at_base).tolist()))
    model = AdditiveModel(intercept=at_base.tolist(), terms=terms)
    return model if _difference(pipeline, model, matrices) < TOLERANCE else None


def _term(feature: Feature, values: list[float], changes: list[Outputs]) -> NumberTerm | CategoryTerm:
    """Return the term of a feature, from the change of the log-odds at each value, last if missing."""
    present, missing = (changes[:-1], changes[-1]) if feature.nullable else (changes, None)
    if isinstance(feature, CategoryFeature):
        contributions = dict(zip(feature.encoded.values(), present, strict=True))
        return CategoryTerm(contributions=contributions, missing=missing)
    low, high = values
    slope = [(after - before) / (high - low) for before, after in zip(*present, strict=True)]
    offset = [before - rate * low for before, rate in zip(present[0], slope, strict=True)]
    return NumberTerm(offset=offset, slope=slope, missing=missing)


def _tabular(feature: Feature) -> bool:
    codes = feature.encoded.values() if isinstance(feature, CategoryFeature) else ()
    return all(0 <= code <= HIGHEST_CODE for code in codes)


def _values(feature: Feature, columns: list[Matrix]) -> list[float]:
    """Return each code of a category, or both ends of a number."""
    if isinstance(feature, CategoryFeature):
        return [float(code) for code in feature.encoded.values()]
    return list(feature.range or (_end(np.nanmin, columns), _end(np.nanmax, columns)))


def _end(which: Callable[[Matrix], np.float32], columns: list[Matrix]) -> float:
    return float(which(np.concatenate(columns)))


def _difference(pipeline: Pipeline, model: AdditiveModel, matrices: list[Matrix]) -> float:
    evaluator = AdditiveEvaluator(model)
    exact = [matrix.astype(np.float64) for matrix in matrices]
    return max(
        float(np.abs(evaluator.probabilities(matrix) - pipeline.predict_proba(matrix)).max())
        for matrix in exact
    )
