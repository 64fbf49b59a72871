"""Additive models: the log-odds are an intercept plus a contribution of each feature.

Logistic regression is additive after any preprocessing of single features: scaling, one-hot encoding,
imputation of missing values. Such a model needs no runtime. `additive.json` of a bundle holds the
contributions; training derives them and proves them equal to the pipeline (training/additive.py).
"""

import math
from collections.abc import Sequence
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bundle.errors import BundleError
from bundle.features import CategoryFeature, Feature

ADDITIVE_FILE = "additive.json"

BLOCK = 5000
"""Rows evaluated at once, so that intermediate arrays stay in the cache."""

HIGHEST_CODE = 9_999
"""Codes index a table: a category with higher codes is not part of an additive model."""

Outputs = list[float]
"""The log-odds of the positive class, or with more than two classes one value a class, for softmax."""


class Term(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    missing: Outputs | None = Field(description="Contribution of a missing value, if the feature is nullable")


class NumberTerm(Term):
    kind: Literal["number"] = "number"
    offset: Outputs
    slope: Outputs

    def contribution(self, value: float) -> Outputs:
        """Return the contribution of a value to the outputs; NaN is a missing value."""
        if math.isnan(value):
            return self.missing or [0.0] * len(self.slope)
        return [offset + slope * value for offset, slope in zip(self.offset, self.slope, strict=True)]


class CategoryTerm(Term):
    kind: Literal["category"] = "category"
    contributions: dict[Annotated[int, Field(ge=0, le=HIGHEST_CODE)], Outputs] = Field(min_length=1)

    def contribution(self, value: float) -> Outputs:
        """Return the contribution of a code to the outputs; NaN is a missing value."""
        if math.isnan(value):
            return self.missing or [0.0] * len(next(iter(self.contributions.values())))
        return self.contributions[int(value)]


class AdditiveModel(BaseModel):
    """Terms stand in the order of the features."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    intercept: Outputs = Field(min_length=1)
    terms: list[Annotated[NumberTerm | CategoryTerm, Field(discriminator="kind")]]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for term in self.terms:
            numbers = (
                [term.offset, term.slope] if isinstance(term, NumberTerm) else term.contributions.values()
            )
            lengths = {len(outputs) for outputs in (*numbers, term.missing or self.intercept)}
            if lengths != {len(self.intercept)}:
                raise ValueError("every contribution needs as many values as the intercept")
        return self


class AdditiveEvaluator:
    """Evaluates an additive model, for one row or for a matrix."""

    def __init__(self, model: AdditiveModel) -> None:
        nothing = [0.0] * len(model.intercept)
        numbers = [(i, term) for i, term in enumerate(model.terms) if isinstance(term, NumberTerm)]
        self._numbers = [i for i, _ in numbers]
        self._slopes = np.array([term.slope for _, term in numbers]).reshape(len(numbers), len(nothing))
        offsets = np.array([term.offset for _, term in numbers]).reshape(len(numbers), len(nothing))
        self._intercept = np.array(model.intercept) + offsets.sum(axis=0)
        fillings = np.array([term.missing or nothing for _, term in numbers]).reshape(offsets.shape)
        self._instead = fillings - offsets  # replaces offset and slope of a missing value
        tables = [
            (i, _table(term, nothing)) for i, term in enumerate(model.terms) if isinstance(term, CategoryTerm)
        ]
        self._categories = [i for i, _ in tables]
        self._tables_by_output = [np.ascontiguousarray(table.T) for _, table in tables]
        self._missing_codes = [len(table) - 1 for _, table in tables]
        self._start = self._intercept.tolist()
        self._row_numbers = [
            list(zip(self._numbers, slopes.tolist(), instead.tolist(), strict=True))
            for slopes, instead in zip(self._slopes.T, self._instead.T, strict=True)
        ]
        self._row_tables = [
            [(i, _by_code(table[:-1, output]), float(table[-1, output])) for i, table in tables]
            for output in range(len(nothing))
        ]

    def row(self, values: Sequence[float]) -> list[float]:
        """Return the probability of each class for one encoded row: numpy would take ten times as long."""
        outputs = [self._output(number, values) for number in range(len(self._start))]
        if len(outputs) == 1:
            power = math.exp(-abs(outputs[0]))  # never overflows
            positive = (1 if outputs[0] >= 0 else power) / (1 + power)
            return [1 - positive, positive]
        highest = max(outputs)
        powers = [math.exp(output - highest) for output in outputs]
        total = sum(powers)
        return [power / total for power in powers]

    def _output(self, number: int, values: Sequence[float]) -> float:
        output: float = self._start[number]
        for column, slope, instead in self._row_numbers[number]:
            value = values[column]
            output += slope * value if value == value else instead  # noqa: PLR0124  # NaN equals nothing
        for column, contributions, missing in self._row_tables[number]:
            output += contributions.get(values[column], missing)
        return output

    def probabilities(self, matrix: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return [rows, classes] for an encoded matrix [rows, features]."""
        blocks = [matrix[start : start + BLOCK] for start in range(0, len(matrix), BLOCK)]
        return np.concatenate([self._block(block) for block in blocks])

    def _block(self, matrix: NDArray[np.floating]) -> NDArray[np.float64]:
        columns = matrix.T
        numbers = columns[self._numbers].astype(np.float64)
        missing = np.isnan(numbers)
        incomplete = np.flatnonzero(missing.any(axis=1))
        for place in incomplete:
            numbers[place, missing[place]] = 0
        outputs = self._slopes.T @ numbers + self._intercept.reshape(-1, 1)
        for place in incomplete:
            outputs += np.outer(self._instead[place], missing[place])
        codes = columns[self._categories]
        unknown = np.isnan(codes)
        for place in np.flatnonzero(unknown.any(axis=1)):
            codes[place, unknown[place]] = self._missing_codes[place]
        for tables, column in zip(self._tables_by_output, codes.astype(np.intp), strict=True):
            for output, contributions in zip(outputs, tables, strict=True):
                output += contributions.take(column)  # noqa: PLW2901  # in place
        if len(outputs) == 1:
            power = np.exp(-np.abs(outputs[0]))  # never overflows
            positive = np.where(outputs[0] >= 0, 1, power) / (1 + power)
            return np.stack([1 - positive, positive], axis=1)
        powers = np.exp(outputs - outputs.max(axis=0))
        return np.ascontiguousarray((powers / powers.sum(axis=0)).T)


def _by_code(contributions: NDArray[np.float64]) -> dict[float, float]:
    return dict(enumerate(contributions.tolist()))


def _table(term: CategoryTerm, nothing: Outputs) -> NDArray[np.float64]:
    """Return the contribution of each code, and last that of a missing value."""
    codes = range(max(term.contributions) + 1)
    return np.array([*(term.contributions.get(code, nothing) for code in codes), term.missing or nothing])


def parse_additive(content: bytes, features: Sequence[Feature], place: str) -> AdditiveModel:
    """Return the model of these features that a file holds; BundleError names the file."""
    try:
        model = AdditiveModel.model_validate_json(content)
    except ValidationError as error:
        raise BundleError(f"{place} is not an additive model: {error.errors()[0]['msg']}") from None
    if [_values(term) for term in model.terms] != [_codes(feature) for feature in features]:
        raise BundleError(
            f"{place} has other features or codes than model.toml: train the model again (make train)"
        )
    return model


def _values(term: NumberTerm | CategoryTerm) -> set[int] | None:
    return set(term.contributions) if isinstance(term, CategoryTerm) else None


def _codes(feature: Feature) -> set[int] | None:
    return set(feature.encoded.values()) if isinstance(feature, CategoryFeature) else None
