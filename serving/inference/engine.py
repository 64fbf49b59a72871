"""From rows or a matrix to probabilities. Knows no HTTP and no Prometheus."""

from collections.abc import Sequence
from math import isfinite
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bundle.additive import AdditiveEvaluator, AdditiveModel
from bundle.encoding import Matrix

NOT_A_NUMBER = "the model gave a probability that is not a number"


class EngineError(Exception):
    """The engine cannot load the model, or gives no probabilities."""


class Engine(Protocol):
    def probabilities(self, matrix: Matrix) -> NDArray[np.floating]:
        """Return [rows, classes] for float32 [rows, features]; EngineError where that fails."""
        ...

    def row(self, values: Sequence[float]) -> list[float]:
        """Return the probability of each class for one encoded row; EngineError where that fails."""
        ...


class AdditiveEngine:
    """An additive model, without a runtime."""

    def __init__(self, model: AdditiveModel) -> None:
        evaluator = AdditiveEvaluator(model)
        self.probabilities = evaluator.probabilities
        self.row = evaluator.row


class OnnxEngine:
    """A model held by ONNX Runtime, which is imported where a model needs it."""

    def __init__(self, model: bytes) -> None:
        from bundle.runtime import Session, UnusableModelError  # noqa: PLC0415

        try:
            self._session = Session(model)
        except UnusableModelError as error:
            raise EngineError(f"the model cannot be loaded: {error}") from error

    def probabilities(self, matrix: Matrix) -> Matrix:
        result = self._run(matrix)
        if not np.isfinite(result).all():
            raise EngineError(NOT_A_NUMBER)
        return result

    def row(self, values: Sequence[float]) -> list[float]:
        probabilities: list[float] = self._run(np.array([values], dtype=np.float32))[0].tolist()
        if not all(map(isfinite, probabilities)):
            raise EngineError(NOT_A_NUMBER)
        return probabilities

    def _run(self, matrix: Matrix) -> Matrix:
        try:
            return self._session.run(matrix)
        except Exception as error:
            raise EngineError(f"ONNX Runtime failed: {type(error).__name__}") from error
