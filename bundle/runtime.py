"""ONNX Runtime, the one way to it: with its telemetry off, and on one thread.

The official builds report to their maker unless this variable is set before they are imported (Privacy.md
of the package). Nothing about a prediction service of medical data may leave it.
"""

import os

import numpy as np

from bundle.encoding import Matrix

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import onnxruntime

INPUT = "rows"
OUTPUT = "probabilities"


class Session:
    """A model: `rows` float32 [n, features] -> `probabilities` float32 [n, classes].

    Raises what ONNX Runtime raises, whose exceptions share no base class. One thread, because requests are
    small and pods scale by number.
    """

    def __init__(self, model: bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def run(self, matrix: Matrix) -> Matrix:
        return np.asarray(self._session.run([OUTPUT], {INPUT: matrix})[0])
