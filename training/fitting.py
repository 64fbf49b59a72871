"""Fits a recipe's pipeline and asks it for probabilities; whatever goes wrong is a DataError."""

import io

import joblib
import numpy as np
from sklearn.pipeline import Pipeline

from bundle.encoding import Matrix
from training.metrics import Floats, Labels
from training.recipe import reported
from training.table import DataError

SUM_TOLERANCE = 1e-3
"""Largest difference of the sum of a row's probabilities from 1: some estimators compute in float32."""


def fit(pipeline: Pipeline, matrix: Matrix, labels: Labels) -> Pipeline:
    """Return the pipeline, fitted to rows [rows, features] and their class indexes [rows].

    Of a search it is the best one.
    """
    with reported("the pipeline cannot be fitted"):
        pipeline.fit(matrix, labels)
        return getattr(pipeline, "best_estimator_", pipeline)


def predict_classes(pipeline: Pipeline, matrix: Matrix, classes: int) -> Floats:
    """Return the probabilities [rows, classes] of a fitted pipeline."""
    with reported("the fitted pipeline cannot predict"):
        probabilities = np.asarray(pipeline.predict_proba(matrix), dtype=np.float64)
    if probabilities.shape != (len(matrix), classes):
        raise DataError(
            f"the pipeline gives probabilities of shape {probabilities.shape} for {len(matrix)} rows and "
            f"{classes} classes"
        )
    sums = probabilities.sum(axis=1)
    if not (np.abs(sums - 1) < SUM_TOLERANCE).all() or (probabilities < 0).any():
        raise DataError("the pipeline gives probabilities that are missing, negative, or do not sum up to 1")
    return probabilities


def pickled(pipeline: Pipeline) -> bytes:
    """Return a fitted pipeline as joblib writes it."""
    buffer = io.BytesIO()
    with reported("the pipeline cannot be saved with joblib"):
        joblib.dump(pipeline, buffer)
    return buffer.getvalue()
