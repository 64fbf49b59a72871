"""Exports a fitted part of a pipeline to ONNX; a sentence names the step that cannot be."""

import re
import textwrap
import traceback
from collections.abc import Iterator
from typing import Any

from onnx import TensorProto
from sklearn.pipeline import Pipeline

from bundle.runtime import INPUT
from training.converters.registry import converted
from training.graph import Graph
from training.remedies import not_exported
from training.table import DataError

FLOAT, DOUBLE = TensorProto.FLOAT, TensorProto.DOUBLE
MOST_REASON = 160
"""Characters of what a converter says."""


def exported(model: Any, width: int, kind: int, whole: Any = None) -> Any:
    """Return a fitted part as ONNX, with the input `values`; DataError names what cannot be exported."""
    try:
        return converted(model, "values", width, double=kind == DOUBLE, whole=whole)
    except DataError:
        raise
    except Exception as error:  # noqa: BLE001  # converters raise anything
        raise DataError(said(error)) from None


def said(error: Exception) -> str:
    """Return the sentence of a converter's exception."""
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    reason = textwrap.shorten(reason, MOST_REASON, placeholder=" ...")
    if found := re.search(r"<class '(?:\w+\.)*(\w+)'>", reason):
        return not_exported(f"'{found[1]}'", "skl2onnx has no converter for it")
    return not_exported(failing_step(error), reason)


def failing_step(error: BaseException) -> str:
    """Return the name of the step whose converter raised an exception, in quotes, or "the pipeline"."""
    named = "the pipeline"
    for frame, _ in traceback.walk_tb(error.__traceback__):
        step = getattr(frame.f_locals.get("operator"), "raw_operator", None)
        named = f"'{type(step).__name__}'" if step is not None else named
    return named


def precise(pipeline: Pipeline, width: int) -> Iterator[bytes]:
    """Yield exports whose transformers compute in float64: the estimator in float32, or in float64, too."""
    *transformers, (_, estimator) = pipeline.steps
    for kind in (FLOAT, DOUBLE):
        graph = Graph()
        tensor, columns = graph.cast(INPUT, DOUBLE), width
        if transformers:
            part = exported(Pipeline(transformers), width, DOUBLE, pipeline)
            tensor = graph.embedded(part, {"values": tensor})[0]
            columns = estimator.n_features_in_
        part = exported(Pipeline([("estimator", estimator)]), columns, kind, pipeline)
        _, probabilities = graph.embedded(part, {"values": graph.cast(tensor, kind)})
        yield graph.finished(probabilities, range(len(pipeline.classes_)))
