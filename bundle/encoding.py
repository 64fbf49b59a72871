"""From rows as clients send them to the matrix a model reads: the encoder of both training and serving."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, islice
from operator import itemgetter
from types import NoneType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bundle.declaration import Declaration
from bundle.errors import FieldError, InvalidRowsError
from bundle.features import BooleanFeature, CategoryFeature, NumberFeature

Matrix = NDArray[np.float32]

LONGEST_NAME = 64
MOST_ERRORS = 20


def _quickly_accepted(feature: NumberFeature) -> tuple[float, float]:
    """Return the lowest and the highest value that cannot be a missing code; no value, if any can."""
    return (math.inf, -math.inf) if feature.range is None and feature.missing_codes else feature.accepted


def _encoding(
    pick: Callable[[Any], Sequence[Any]], encoders: Sequence[tuple[int, Callable[[object], float]]]
) -> Callable[[Any], Sequence[Any]]:
    """Return a function that picks the values of a row, those of some features encoded."""

    def picked(row: Any) -> Sequence[Any]:
        values = list(pick(row))
        for index, encode in encoders:
            values[index] = encode(values[index])
        return values

    return picked


class Encoder:
    """Encodes rows of one declaration.

    A row is a mapping of exactly the declared features. The matrix has them in declared order, categories as
    their codes, missing values as NaN.
    """

    def __init__(self, declaration: Declaration) -> None:
        self._fields = [(feature.name, feature.encode) for feature in declaration.features]
        self._names = frozenset(declaration.feature_names)
        first, *others = declaration.feature_names
        # with a single name, itemgetter gives the value itself
        self._pick: Callable[[Any], Sequence[Any]] = (
            itemgetter(first, *others) if others else lambda row: [row[first]]
        )
        booleans = [
            (index, feature.encode)
            for index, feature in enumerate(declaration.features)
            if isinstance(feature, BooleanFeature)
        ]
        if booleans:  # any other boolean equals 0 or 1, and is for `_careful`
            self._pick = _encoding(self._pick, booleans)
        self._encoded = [index for index, _ in booleans]
        self._categories = [
            (index, feature.values)
            for index, feature in enumerate(declaration.features)
            if isinstance(feature, CategoryFeature) and not isinstance(feature, BooleanFeature)
        ]
        self._numbers = [
            (index, *_quickly_accepted(feature), feature.type == "integer", feature.nullable)
            for index, feature in enumerate(declaration.features)
            if isinstance(feature, NumberFeature)
        ]

    def encode_row(self, row: object) -> list[float]:
        """Return the values of one row in declared order; InvalidRowsError lists its first 20 errors."""
        values = self._quick(row)
        return self._careful(row) if values is None else values

    def _quick(self, row: object) -> list[float] | None:
        """Return the values of a plain, valid row, fast; None if the row needs `_careful`.

        A boolean equals 0 or 1, so rows with booleans need it, too.
        """
        if type(row) is not dict or len(row) != len(self._fields):
            return None
        try:
            values: list[Any] = list(self._pick(row))
            if bool in map(type, values):
                return None
            for index, codes in self._categories:
                values[index] = codes[values[index]]
            for index, low, high, whole, nullable in self._numbers:
                value = values[index]
                if type(value) is not int:
                    if value is None and nullable:
                        values[index] = math.nan
                        continue
                    if whole and value != int(value):
                        return None
                if not low <= value <= high:
                    return None
        except (KeyError, TypeError, ValueError, OverflowError):
            return None
        return values

    def _careful(self, row: object) -> list[float]:
        if not isinstance(row, Mapping):
            raise InvalidRowsError([FieldError("", "must be an object with one member for each feature")])
        try:
            values = [encode(row[name]) for name, encode in self._fields]
        except (KeyError, ValueError):
            raise InvalidRowsError(self._errors(row)) from None
        if len(row) != len(values):
            raise InvalidRowsError(self._errors(row))
        return values

    def encode(self, rows: Sequence[object]) -> Matrix:
        """Return float32 [rows, features]; InvalidRowsError numbers the rows and stops after 20 errors."""
        matrix = self._by_column(rows)
        if matrix is not None:
            return matrix
        encoded: list[list[float]] = []
        errors: list[FieldError] = []
        for number, row in enumerate(rows):
            try:
                encoded.append(self.encode_row(row))
            except InvalidRowsError as error:
                errors += [FieldError(e.field, e.detail, number, e.known) for e in error.errors]
                if len(errors) >= MOST_ERRORS:
                    break
        if errors:
            raise InvalidRowsError(errors[:MOST_ERRORS])
        return np.array(encoded, dtype=np.float32)

    def _by_column(self, rows: Sequence[object]) -> Matrix | None:
        """Return the matrix of plain, valid rows, fast; None if they need `_careful`."""
        if set(map(type, rows)) != {dict} or set(map(len, rows)) != {len(self._fields)}:  # type: ignore[arg-type]
            return None
        matrix = np.empty((len(rows), len(self._fields)), dtype=np.float32)
        try:
            columns = list(zip(*map(self._pick, rows), strict=True))
            kinds = [set(map(type, column)) for column in columns]
            if any(bool in kind for kind in kinds):
                return None
            for index in self._encoded:
                matrix[:, index] = columns[index]
            for index, codes in self._categories:
                matrix[:, index] = list(map(codes.__getitem__, columns[index]))
            for index, low, high, whole, nullable in self._numbers:
                column, kind = columns[index], kinds[index]
                values = np.array(column, dtype=np.float64)  # None becomes NaN
                missing = column.count(None) if nullable else 0
                if not kind <= {int, float, NoneType} or (
                    (low <= values) & (values <= high)
                ).sum() + missing < len(rows):
                    return None
                if whole and float in kind and (values % 1 > 0).any():
                    return None
                matrix[:, index] = values
        except (KeyError, TypeError, ValueError, OverflowError):
            return None
        return matrix

    def _errors(self, row: Mapping[object, object]) -> list[FieldError]:
        """Return the first errors of a row, without looking at more of its names."""
        return list(islice(chain(self._invalid(row), self._unknown(row)), MOST_ERRORS))

    def _invalid(self, row: Mapping[object, object]) -> Iterator[FieldError]:
        for name, encode in self._fields:
            if name not in row:
                yield FieldError(name, "is missing")
                continue
            try:
                encode(row[name])
            except ValueError as error:
                yield FieldError(name, str(error))

    def _unknown(self, row: Mapping[object, object]) -> Iterator[FieldError]:
        for name in row:
            if name not in self._names:
                yield FieldError(str(name)[:LONGEST_NAME], "is not a feature of this model", known=False)
