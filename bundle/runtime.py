"""The only import of ONNX Runtime: without telemetry, and on one thread.

The official builds send events to their maker unless this variable is set before the import (Privacy.md of
the package). Nothing about a prediction service of medical data may leave it.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bundle.encoding import Matrix
from bundle.onnx import has_external_tensors

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime

INPUT = "rows"
OUTPUT = "probabilities"


class UnusableModelError(Exception):
    """ONNX Runtime cannot or must not load a model: a sentence without its subject."""


class Session:
    """A model: `rows` float32 [n, features] -> `probabilities` float32 [n, classes].

    UnusableModelError if it cannot be loaded. One thread, because requests are small and pods scale by
    number.
    """

    def __init__(self, model: bytes) -> None:
        try:
            external = has_external_tensors(model)
        except ValueError as error:
            raise UnusableModelError(str(error)) from None
        if external:
            raise UnusableModelError("it keeps tensors in other files (external data): save it as one file")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        options.add_session_config_entry("session.load_model_format", "ONNX")
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's exceptions share no base class
            raise UnusableModelError(f"ONNX Runtime rejects it: {type(error).__name__}") from error

    def run(self, matrix: Matrix) -> Matrix:
        """Return the probabilities; raises what ONNX Runtime raises."""
        return np.asarray(self.outputs([OUTPUT], {INPUT: matrix})[0])

    def outputs(self, names: Sequence[str], inputs: Mapping[str, NDArray[Any]]) -> list[Any]:
        """Return the outputs with these names of a model that has other inputs; raises as `run` does."""
        return list(self._session.run(list(names), dict(inputs)))
