"""A pipeline that was fitted on a pandas DataFrame, as a model of the encoder's matrix."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bundle.declaration import Declaration
from bundle.features import UNLISTED, BooleanFeature, CategoryFeature, Feature
from bundle.spelling import BLANKS, meaning
from training.encoders import (
    PANDAS_MISSING,
    fitted_steps,
    known_texts,
    maker_threshold,
    spelled,
    unread_names,
)
from training.metrics import Floats, Labels
from training.precision import decimal_places
from training.read_rows import Rows, Value
from training.table import DataError


@dataclass(frozen=True)
class Column:
    """A column as the pipeline knows it.

    `index` is that of its feature. `texts` has what stands in the frame for each code of a category, and
    `missing` for a missing value; a column of numbers has no texts. `decimals` is how many decimal places its
    numbers have, if they are few.
    """

    name: str
    index: int
    dtype: Any
    texts: dict[float, object] | None = None
    missing: object = np.nan
    decimals: int | None = None


class FrameModel:
    """A fitted pipeline with the columns of the frame that it was fitted on.

    `predict_proba` and, if the pipeline has it, `decision_function` take a matrix [rows, features] and
    return classes in declared order.
    """

    def __init__(self, pipeline: Any, declaration: Declaration, frame: pd.DataFrame) -> None:
        self.pipeline = pipeline
        self.declaration = declaration
        self.order = class_order(declaration, pipeline.classes_.tolist())
        self.columns = _columns(pipeline, declaration, frame)
        self.inputs = list(getattr(pipeline, "feature_names_in_", [column.name for column in self.columns]))
        if hasattr(pipeline, "decision_function"):
            self.decision_function = self._decide

    @cached_property
    def steps(self) -> list[Any]:
        """The fitted steps, those of nested pipelines among them."""
        return fitted_steps(self.pipeline)

    @property
    def estimator(self) -> str:
        return type(self.steps[-1]).__name__

    def frame(self, matrix: NDArray[np.floating]) -> pd.DataFrame:
        """Return the rows of a matrix as the pipeline knows them."""
        return pd.DataFrame({column.name: _series(column, matrix) for column in self.columns})

    def probabilities(self, frame: pd.DataFrame) -> Floats:
        """Return [rows, classes] for the columns of a frame, classes in declared order."""
        return self._ordered(self._spelled(frame))

    def predict_proba(self, matrix: NDArray[np.floating]) -> Floats:
        return self._ordered(self.frame(matrix))

    def _ordered(self, frame: pd.DataFrame) -> Floats:
        return np.asarray(self._called("predict_proba", frame)[:, self.order], dtype=np.float64)

    def _spelled(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return the rows of a frame under the pipeline's names, with texts as its encoders spell them.

        A text that is not listed stays as it is: the pipeline may know it.
        """
        found = {}
        for column in self.columns:
            feature = self.declaration.features[column.index]
            series = frame[column_name(feature, frame)]
            if column.texts is not None and not set(series.dropna()) <= set(column.texts.values()):
                codes = [np.nan if pd.isna(v) else feature.encode(_sent(v, feature)) for v in series]
                texts = _texts(column, codes)
                series = texts.where(texts != UNLISTED, series.set_axis(texts.index))
            found[column.name] = series.reset_index(drop=True)
        return pd.DataFrame(found)

    def _decide(self, matrix: NDArray[np.floating]) -> Floats:
        values = np.asarray(self._called("decision_function", self.frame(matrix)), dtype=np.float64)
        if values.ndim == 1:
            return values if self.order == [0, 1] else -values
        return values[:, self.order] if values.shape[1] == len(self.order) else values

    def _called(self, method: str, frame: pd.DataFrame) -> NDArray[Any]:
        rows = frame.reindex(columns=self.inputs, fill_value=0.0)  # of those that are not read
        named = hasattr(self.pipeline, "feature_names_in_")
        try:
            return np.asarray(getattr(self.pipeline, method)(rows if named else rows.to_numpy(np.float64)))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise DataError(
                f"the pipeline does not predict every row that model.toml allows: {reason.rstrip('. ')}; "
                "correct the declared range, categories and nullable, or the pipeline"
            ) from None


def class_order(declaration: Declaration, classes: Sequence[object]) -> list[int]:
    """Return the place of each declared class among those of a model; DataError if they do not match."""
    indexes = indexes_by_name(declaration)
    found = [class_index(indexes, value) for value in classes]
    if sorted(-1 if index is None else index for index in found) != list(range(len(declaration.classes))):
        raise DataError(
            f"the model has the classes {_listed(classes)}, and the column '{declaration.target}' of the "
            f"data {_listed(declaration.targets)}: name them alike, as the model does"
        )
    return [found.index(index) for index in range(len(found))]


def indexes_by_name(declaration: Declaration) -> dict[str | float, int]:
    """Return the index of each class by every name that it has: target, label and prediction."""
    return {
        meaning(str(name)): index
        for index, declared in enumerate(declaration.classes)
        for name in (declared.target or declared.label, declared.label, declared.prediction)
    }


def class_index(indexes: dict[str | float, int], value: object) -> int | None:
    """Return the index of a class by its value in a frame or a model, where True may be 1 and 1 True."""
    value = _plain(value)
    names = [str(value)]
    if isinstance(value, bool):
        names += [str(value).lower(), str(int(value))]
    elif value in (0, 1):
        names += [str(bool(value)), str(bool(value)).lower()]
    return next((indexes[name] for name in map(meaning, names) if name in indexes), None)


def declared_threshold(declaration: Declaration, model: Any) -> float | None:
    """Return the threshold of the positive class that a pipeline's maker set; None if there is none."""
    found = maker_threshold(model)
    if found is None or not declaration.binary:
        return None
    positive, threshold = found
    share = threshold if class_index(indexes_by_name(declaration), positive) == 1 else 1 - threshold
    if not 0 < share < 1:
        raise DataError(f"the maker's threshold {threshold:g} is no probability between 0 and 1")
    return share


def labels_of(declaration: Declaration, target: pd.Series) -> Labels:
    """Return the class index of each row of the target column."""
    indexes = indexes_by_name(declaration)
    labels = [class_index(indexes, value) for value in target]
    if None in labels:
        place = labels.index(None)
        raise DataError(
            f"row {place + 1} of the data: '{target.name}' may only hold {_listed(declaration.targets)}"
        )
    return np.array(labels, dtype=np.int64)


def rows_of(declaration: Declaration, frame: pd.DataFrame) -> Rows:
    """Return the rows of a frame as clients send them."""
    columns = [
        [None if pd.isna(value) else _sent(value, feature) for value in frame[column_name(feature, frame)]]
        for feature in declaration.features
    ]
    names = declaration.feature_names
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def column_name(feature: Feature, frame: pd.DataFrame) -> str:
    """Return the name of a feature's column in a frame; DataError lists the columns if it is missing."""
    trimmed = {str(name).strip(): name for name in reversed(frame.columns)}
    for name in (feature.column, feature.name):
        if name in frame.columns:
            return name
        if name in trimmed:
            return str(trimmed[name])
    raise DataError(f"the data lack the column '{feature.column}': they have {_listed(frame.columns)}")


def _columns(pipeline: Any, declaration: Declaration, frame: pd.DataFrame) -> list[Column]:
    """Return the pipeline's columns in its order, which is the declared one if it was fitted on an array.

    A column that it drops is among them where it is declared.
    """
    sources = [column_name(feature, frame) for feature in declaration.features]
    indexes = {name.strip(): i for i, name in enumerate(sources)}
    inputs = list(getattr(pipeline, "feature_names_in_", sources))
    unread = unread_names(pipeline)
    names = [name for name in inputs if name.strip() in indexes or name not in unread]
    if unknown := [name for name in names if name.strip() not in indexes]:
        raise DataError(f"the pipeline reads {_listed(unknown)}, which model.toml does not declare")
    if unused := [name for name in indexes if name not in {read.strip() for read in names}]:
        raise DataError(f"model.toml declares {_listed(unused)}, which the pipeline does not read")
    if (width := getattr(pipeline, "n_features_in_", len(inputs))) != len(inputs):
        raise DataError(f"the pipeline reads {width} columns, model.toml declares {len(inputs)}")
    places = [indexes[name.strip()] for name in names]
    return [
        _column(name, index, declaration, frame[sources[index]], known_texts(pipeline, name))
        for name, index in zip(names, places, strict=True)
    ]


def _column(
    name: str, index: int, declaration: Declaration, series: pd.Series, known: list[str] | None
) -> Column:
    feature = declaration.features[index]
    if not isinstance(feature, CategoryFeature) or pd.api.types.is_numeric_dtype(series.dtype):
        return Column(name, index, series.dtype, decimals=_decimals(series))
    missing = series[series.isna()]
    texts: dict[float, object] = {float(code): category for category, code in feature.codes.items()}
    texts |= {feature.encode(_sent(value, feature)): value for value in series.dropna().unique()}
    if feature.other:
        texts[feature.encoded[UNLISTED]] = UNLISTED
    for category, code in feature.codes.items():
        if not known or not isinstance(texts[code], str):
            continue
        text = spelled(known, category, feature.column)
        if text is None and category in PANDAS_MISSING:
            raise DataError(
                f"model.toml declares the category '{category}' of '{feature.column}', which the pipeline "
                "does not know: pandas reads it as missing. Declare it so (missing in [table], nullable)"
            )
        texts[code] = texts[code] if text is None else text
    return Column(name, index, series.dtype, texts, missing.iloc[0] if len(missing) else np.nan)


def _decimals(series: pd.Series) -> int | None:
    if not pd.api.types.is_float_dtype(series.dtype):
        return None
    return decimal_places(series.to_numpy(np.float64, na_value=np.nan))


def _series(column: Column, matrix: NDArray[np.floating]) -> pd.Series:
    values = matrix[:, column.index].astype(np.float64)
    if column.texts is None:
        return pd.Series(values)
    return _texts(column, values)


def _texts(column: Column, codes: Iterable[float]) -> pd.Series:
    known = column.texts or {}
    texts = [column.missing if np.isnan(code) else known[code] for code in codes]
    dtype = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):  # the rows may have fewer levels than the pipeline
        dtype = pd.CategoricalDtype(dict.fromkeys([*dtype.categories, *known.values()]), dtype.ordered)
    return pd.Series(texts, dtype=dtype)


def _plain(value: Any) -> Any:
    """Return a value of a frame with Python's types, and a text without blanks around it."""
    value = value.item() if isinstance(value, np.generic) else value
    return value.strip(BLANKS) if isinstance(value, str) else value


def _sent(value: Any, feature: Feature) -> Value:
    """Return a value of a frame as JSON has it."""
    value = _plain(value)
    if isinstance(feature, BooleanFeature):
        return feature.spelled(str(value))
    return int(value) if isinstance(value, bool) else value


def _listed(names: Any) -> str:
    return ", ".join(map(str, names))
