"""From a matrix to probabilities with ONNX Runtime. Knows no HTTP and no Prometheus."""

from typing import Protocol

import numpy as np

from bundle.encoding import Matrix
from bundle.runtime import Session


class EngineError(Exception):
    """The engine cannot load the model, or gives no usable answer."""


class Engine(Protocol):
    def probabilities(self, matrix: Matrix) -> Matrix:
        """Return [rows, classes] for float32 [rows, features]; EngineError where that fails."""
        ...


class OnnxEngine:
    """A model held by ONNX Runtime."""

    def __init__(self, model: bytes) -> None:
        try:
            self._session = Session(model)
        except Exception as error:  # ONNX Runtime's exceptions share no base class
            raise EngineError(f"ONNX Runtime refuses the model: {type(error).__name__}") from error

    def probabilities(self, matrix: Matrix) -> Matrix:
        try:
            result = self._session.run(matrix)
        except Exception as error:
            raise EngineError(f"ONNX Runtime failed: {type(error).__name__}") from error
        if not np.isfinite(result).all():
            raise EngineError("the model gave a probability that is not a number")
        return result
