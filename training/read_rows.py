"""Rows of a table, kept by column until somebody looks at one."""

from array import array
from collections import UserList
from collections.abc import Iterable, MutableSequence, Sequence

import numpy as np

from bundle.declaration import Declaration
from bundle.encoding import Encoder, Matrix

Value = int | float | str | None
Row = dict[str, Value]
Rows = MutableSequence[Row]

FLOAT, INTEGER, MISSING, OTHER = range(4)
EXACT = 2**53
"""Whole numbers up to it are the same as floats."""


class Column:
    """The values of a feature and their codes in the matrix, in 13 bytes each."""

    def __init__(self) -> None:
        self._numbers = array("d")
        self._kinds = bytearray()
        self._others: list[Value] = []
        self._places: dict[Value, int] = {}
        self._encoded = array("f")

    def append(self, value: Value, encoded: float) -> None:
        if type(value) is float:
            kind, number = FLOAT, value
        elif value is None:
            kind, number = MISSING, 0.0
        elif type(value) is int and -EXACT <= value <= EXACT:
            kind, number = INTEGER, float(value)
        else:
            kind, number = OTHER, float(self._places.setdefault(value, len(self._others)))
            if number == len(self._others):
                self._others.append(value)
        self._kinds.append(kind)
        self._numbers.append(number)
        self._encoded.append(encoded)

    def __getitem__(self, row: int) -> Value:
        kind, number = self._kinds[row], self._numbers[row]
        if kind == FLOAT:
            return number
        if kind == INTEGER:
            return int(number)
        return None if kind == MISSING else self._others[int(number)]

    def __len__(self) -> int:
        return len(self._kinds)

    def encoded(self) -> Matrix:
        return np.frombuffer(self._encoded, dtype=np.float32)


class ReadRows(UserList[Row]):
    """A list of rows, which exist as mappings only from the first look at one of them on.

    So a recipe may do with them what it likes, and one that passes them on costs little memory.
    """

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self._rows: list[Row] | None = list(rows)
        self._columns: dict[str, Column] = {}
        self._declaration: Declaration | None = None

    @classmethod
    def of(cls, declaration: Declaration, columns: Sequence[Column]) -> "ReadRows":
        """Return the rows that columns hold, one of each feature."""
        rows = cls()
        rows._rows, rows._declaration = None, declaration
        rows._columns = dict(zip(declaration.feature_names, columns, strict=True))
        return rows

    @property
    def data(self) -> list[Row]:
        """The rows as mappings, by which a UserList does everything."""
        if self._rows is None:
            self._rows = self.chosen(range(len(self)))
            self._columns = {}
        return self._rows

    @data.setter
    def data(self, rows: list[Row]) -> None:
        self._rows, self._columns = rows, {}

    def __len__(self) -> int:
        return len(next(iter(self._columns.values()))) if self._rows is None else len(self._rows)

    @property
    def untouched(self) -> bool:
        """Whether nobody has looked at a row, so that the columns are what the rows are."""
        return self._rows is None

    def chosen(self, rows: Iterable[int]) -> list[Row]:
        """Return some rows as mappings, which are the list's own only if it has been looked at."""
        if self._rows is not None:
            return [self._rows[row] for row in rows]
        return [{name: column[row] for name, column in self._columns.items()} for row in rows]

    def values(self, name: str) -> set[Value]:
        """Return the values of a feature."""
        if self._rows is not None:
            return {row.get(name) for row in self._rows}
        column = self._columns[name]
        return {column[row] for row in range(len(column))}

    def matrix(self, declaration: Declaration) -> Matrix:
        """Return float32 [rows, features]; InvalidRowsError numbers the rows that cannot be encoded."""
        if self._rows is not None or declaration != self._declaration:
            return Encoder(declaration).encode(self.data)
        return np.stack([column.encoded() for column in self._columns.values()], axis=1)


def as_read(rows: Iterable[Row]) -> ReadRows:
    """Return rows that a recipe returned as they are kept here."""
    return rows if isinstance(rows, ReadRows) else ReadRows(rows)
