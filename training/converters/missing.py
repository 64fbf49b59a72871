"""Imputed values and indicators of missing ones."""

from typing import Any

import numpy as np
from sklearn.impute import MissingIndicator, SimpleImputer

from training.converters.nodes import Convert, Nodes
from training.table import DataError


def imputed(nodes: Nodes, step: SimpleImputer, values: str) -> str:
    """Fill in float64 too, which skl2onnx's own converter cannot."""
    statistics = np.asarray(step.statistics_, dtype=np.float64)
    if not np.isfinite(statistics).all():
        raise DataError(
            "'SimpleImputer' cannot be exported to ONNX after it was fitted on a column of missing values "
            "alone: leave that column out"
        )
    filled = nodes.node(
        "Where",
        _missing(nodes, step.missing_values, values),
        nodes.constant(statistics.astype(step._fill_dtype)),  # noqa: SLF001  # in which it was fitted
        values,
    )
    if not step.add_indicator:
        return filled
    return nodes.concatenated(filled, indicated(nodes, step.indicator_, values))


def indicated(nodes: Nodes, step: MissingIndicator, values: str) -> str:
    """Return 1 where a value is missing, of the columns that the indicator shows, and 0 elsewhere."""
    shown = nodes.columns(values, step.features_)
    return nodes.cast(_missing(nodes, step.missing_values, shown))


def _missing(nodes: Nodes, marker: Any, values: str) -> str:
    if isinstance(marker, float | np.floating) and np.isnan(marker):
        return nodes.node("IsNaN", values)
    return nodes.node("Equal", values, nodes.constant([marker]))


IMPUTERS: dict[type, Convert] = {SimpleImputer: imputed}
INDICATORS: dict[type, Convert] = {MissingIndicator: indicated}
