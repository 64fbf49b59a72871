"""Exports a pipeline that was fitted on a DataFrame to ONNX.

skl2onnx cannot read missing strings, and few of its converters read strings at all. A transformer of
categories therefore becomes a table, from each code to what the transformer makes of it. Numbers go through
skl2onnx in float64 where that is possible, and the estimator behind both in float32.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.feature_selection import SelectorMixin
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from bundle.features import CategoryFeature
from training.encoders import fitted_steps
from training.frames import Column, FrameModel
from training.graph import Graph
from training.onnx_parts import DOUBLE, FLOAT, exported
from training.parts import jumps
from training.table import DataError

PRECISIONS = [(DOUBLE, FLOAT), (FLOAT, FLOAT), (DOUBLE, DOUBLE)]
"""Types of the transformers and of the estimator, in the order in which they are tried."""


def conversions(model: FrameModel) -> Iterator[bytes]:
    """Yield the pipeline as ONNX in every precision; DataError if it can be exported in none."""
    failure: DataError | None = None
    exported = 0
    tried = [(False, *kinds) for kinds in PRECISIONS]
    if jumps(model.pipeline):
        tried += [(True, DOUBLE, FLOAT), (True, DOUBLE, DOUBLE)]
    for decimal, transformers, estimator in tried:
        try:
            converted = _Conversion(model, transformers, estimator, decimal=decimal).run()
        except DataError as error:
            failure = failure or error
            continue
        exported += 1
        yield converted
    if failure and not exported:
        raise failure


class _Conversion:
    def __init__(self, model: FrameModel, transformers: int, estimator: int, *, decimal: bool) -> None:
        self._model = model
        self._decimal = decimal
        self._kind = transformers
        self._estimator_kind = estimator
        self._graph = Graph()

    def run(self) -> bytes:
        first, *others = self._model.steps
        everything = range(len(self._model.columns))
        if isinstance(first, ColumnTransformer):
            branches = [(inner, self._places(first, inputs)) for inner, inputs in _branches(first)]
            tensor = self._graph.concatenated([self._branch(*branch) for branch in branches])
            width = max(places.stop for places in first.output_indices_.values())
        elif isinstance(first, SelectorMixin):
            places = self._places(first, first.get_support(indices=True).tolist())
            tensor, width = self._numbers(places), len(places)
        elif others and any(column.texts for column in self._model.columns):
            tensor = self._branch(first, everything)
            width = self._transformed(first, everything, self._base).shape[1]
        else:
            others = [first, *others]
            tensor = self._numbers(everything)
            width = len(everything)
        if not others:
            raise DataError("the pipeline ends with a transformer: it needs a classifier")
        *transformers, estimator = others
        if transformers:
            tensor = self._numbered(transformers, tensor, width)
            width = estimator.n_features_in_
        part = exported(
            Pipeline([("estimator", estimator)]), width, self._estimator_kind, self._model.pipeline
        )
        tensor = self._graph.cast(tensor, self._estimator_kind)
        _, probabilities = self._graph.embedded(part, {"values": tensor})
        return self._graph.finished(probabilities, self._model.order)

    def _numbered(self, transformers: Sequence[Any], tensor: str, width: int) -> str:
        """Return what transformers make of numbers, as exactly as their maker had it.

        Trees send a row that is rounded before they read it to the other side of a split.
        """
        steps = Pipeline([(str(i), step) for i, step in enumerate(transformers)])
        part = exported(steps, width, self._kind, self._model.pipeline)
        return self._graph.embedded(part, {"values": self._graph.cast(tensor, self._kind)})[0]

    def _places(self, first: Any, inputs: Sequence[int]) -> Sequence[int]:
        """Return where columns of the first step are among those of the model, which lack what it drops."""
        if not hasattr(first, "feature_names_in_"):
            return inputs
        places = {column.name: place for place, column in enumerate(self._model.columns)}
        return [places[first.feature_names_in_[place]] for place in inputs]

    def _branch(self, transformer: Any, places: Sequence[int]) -> str:
        columns = [self._model.columns[place] for place in places]
        if _is_identity(transformer) and not any(column.texts for column in columns):
            return self._numbers(places)
        if all(self._is_category(column) for column in columns):
            return self._tables(transformer, places)
        if any(column.texts is not None for column in columns):
            raise DataError(
                f"'{type(transformer).__name__}' reads numbers and strings at once "
                f"({', '.join(column.name for column in columns)}): give each its own transformer"
            )
        check_encoders(transformer, [column.name for column in columns])
        part = exported(transformer, len(places), self._kind, self._model.pipeline)
        return self._graph.cast(self._graph.embedded(part, {"values": self._numbers(places)})[0], self._kind)

    def _numbers(self, places: Sequence[int]) -> str:
        columns = [self._model.columns[place] for place in places]
        values = self._graph.cast(self._graph.columns([column.index for column in columns]), self._kind)
        if not self._decimal or not any(column.decimals for column in columns):
            return values
        return self._graph.decimals(values, [column.decimals for column in columns])

    def _is_category(self, column: Column) -> bool:
        return isinstance(self._model.declaration.features[column.index], CategoryFeature)

    @property
    def _base(self) -> NDArray[np.float64]:
        """One row [1, features] with a value for each category."""
        features = self._model.declaration.features
        firsts = [min(f.codes.values()) if isinstance(f, CategoryFeature) else 0 for f in features]
        return np.array([firsts], dtype=np.float64)

    def _tables(self, transformer: Any, places: Sequence[int]) -> str:
        """Return what a transformer of categories makes of them: each output must depend on one alone."""
        base = self._transformed(transformer, places, self._base)
        free = np.ones(base.shape[1], dtype=bool)
        parts, outputs = [], []
        for number, place in enumerate(places):
            index = self._model.columns[place].index
            feature = self._model.declaration.features[index]
            codes = (
                [float(code) for code in feature.encoded.values()]
                if isinstance(feature, CategoryFeature)
                else []
            )
            values = [np.nan if feature.nullable else codes[0], *codes]
            rows = np.repeat(self._base, len(values), axis=0)
            rows[:, index] = values
            table = self._transformed(transformer, places, rows)
            changed = ~np.all((table == base) | (np.isnan(table) & np.isnan(base)), axis=0)
            if (changed & ~free).any():
                raise DataError(f"'{type(transformer).__name__}' combines columns, which cannot be exported")
            free &= ~changed
            own = np.flatnonzero(free | changed if number + 1 == len(places) else changed)
            if len(own):
                parts.append(self._graph.looked_up(index, codes, table[:, own].astype(np.float64)))
                outputs += own.tolist()
        order = np.argsort(outputs).tolist()
        return self._graph.cast(self._graph.columns(order, self._graph.concatenated(parts)), self._kind)

    def _transformed(
        self, transformer: Any, places: Sequence[int], matrix: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        frame = self._model.frame(matrix).iloc[:, list(places)]
        named = hasattr(transformer, "feature_names_in_") or any(
            self._model.columns[place].texts for place in places
        )
        try:
            values = transformer.transform(frame if named else frame.to_numpy())
            dense = values.toarray() if hasattr(values, "toarray") else np.asarray(values)
            return dense.astype(np.float64)
        except (ValueError, TypeError) as error:
            names = ", ".join(self._model.columns[place].name for place in places)
            raise DataError(
                f"'{type(transformer).__name__}' does not make numbers of every category that model.toml "
                f"declares for {names}: {str(error).splitlines()[0]}"
            ) from None


def check_encoders(transformer: Any, names: Sequence[str]) -> None:
    """Reject an encoder of numbers that knows a missing one, for which ONNX has no category."""
    for step in fitted_steps(transformer):
        for name, categories in zip(names, getattr(step, "categories_", ()), strict=False):
            if categories.dtype.kind == "f" and np.isnan(categories).any():
                raise DataError(
                    f"'{type(step).__name__}' reads the numbers of '{name}' with missing ones among them, "
                    "which cannot be exported to ONNX: fill them first (SimpleImputer), or make them text"
                )


def _branches(transformer: ColumnTransformer) -> list[tuple[Any, list[int]]]:
    """Return the fitted transformers in the order of their outputs, and the places of their columns."""
    found = [
        (transformer.output_indices_[name], inner, transformer._transformer_to_input_indices[name])  # noqa: SLF001
        for name, inner, _ in transformer.transformers_
    ]
    found = [branch for branch in found if branch[0].stop > branch[0].start]
    return [(inner, places) for _, inner, places in sorted(found, key=lambda branch: branch[0].start)]


def _is_identity(transformer: Any) -> bool:
    return transformer == "passthrough" or (
        isinstance(transformer, FunctionTransformer) and transformer.func is None
    )
