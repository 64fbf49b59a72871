"""From a matrix to probabilities with ONNX Runtime. Knows no HTTP and no Prometheus."""

from typing import Protocol

import numpy as np
import onnxruntime

from bundle.encoding import Matrix


class EngineError(Exception):
    """The engine cannot load the model, or gives no usable answer."""


class Engine(Protocol):
    def probabilities(self, matrix: Matrix) -> Matrix:
        """Return [rows, classes] for float32 [rows, features]; EngineError where that fails."""
        ...


class OnnxEngine:
    """A model held by ONNX Runtime, on one thread: requests are small, and pods scale by number."""

    def __init__(self, model: bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's exceptions share no base class
            raise EngineError(f"ONNX Runtime refuses the model: {type(error).__name__}") from error

    def probabilities(self, matrix: Matrix) -> Matrix:
        try:
            result: Matrix = self._session.run(["probabilities"], {"rows": matrix})[0]
        except Exception as error:
            raise EngineError(f"ONNX Runtime failed: {type(error).__name__}") from error
        if not np.isfinite(result).all():
            raise EngineError("the model gave a probability that is not a number")
        return result
