"""The features of a declaration: what clients may send, and how a value is encoded."""

import math
from abc import ABC, abstractmethod
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bundle.precision import EXACT, WIDE, Bound, Code, check_range, limit
from bundle.spelling import DECIMAL, Number, Switch, Text, Whole, check_codes
from bundle.yes_no import TRUTH

Schema = dict[str, Any]
Value = bool | int | float | str | None
Factor = Annotated[Number, Field(gt=0)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]


UNLISTED = "(unlisted)"
"""What the values of a category with `other` are called that are not among its codes."""

MOST_LISTED = 20


class OpenCodes(dict[object, float]):
    """The code of each value of a category that takes any other text or number, too: those share one.

    A text that reads as a code means it, as it does in a table.
    """

    def __init__(self, codes: dict[object, float], unlisted: float) -> None:
        super().__init__(codes)
        self._unlisted = unlisted

    def __missing__(self, value: object) -> float:
        if type(value) is str and value:
            return self.get(float(value), self._unlisted) if DECIMAL.fullmatch(value) else self._unlisted
        if type(value) in (int, float) and -WIDE <= value <= WIDE:  # type: ignore[operator]
            return self._unlisted
        raise KeyError


def no_boolean(value: object) -> str:
    """Return what to add to the words about a value that is a boolean of JSON, which no feature takes."""
    return ", not a JSON boolean" if isinstance(value, bool) else ""


class Declared(BaseModel):
    """A table of model.toml; a member's own docstring is its line in docs/models.md."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class FeatureBase(Declared, ABC):
    """One input: how clients send it, and how it is encoded in the matrix (NaN is a missing value)."""

    name: Name
    """name in requests: letters, digits and underscores"""
    column: Text
    """name in the data"""
    description: str
    """words for people"""
    nullable: Switch = False
    """whether the value may be missing"""
    missing_codes: tuple[Whole, ...] = ()
    """whole numbers that mean a missing value"""
    rising: tuple[tuple[Number | str | Switch, ...], ...] = ()
    """two classes alone: values along which the positive class becomes likelier by domain knowledge; the gate
    of `make retrain` holds a version to it, such as `[[0, 1, 2], ["normal", "fixed_defect"]]`"""

    @property
    @abstractmethod
    def expectation(self) -> str:
        """What a value must be, in words."""

    @property
    @abstractmethod
    def json_kind(self) -> Schema:
        """The JSON schema of a value, which accepts exactly what the encoder does."""

    @abstractmethod
    def encode(self, value: object) -> float:
        """Return the value in the matrix; ValueError says what was expected."""

    @property
    def or_unknown(self) -> str:
        codes = "".join(f" or {code}" for code in self.missing_codes)
        return f", or null{codes} where it is unknown" if self.nullable else ""


class NumberFeature(FeatureBase):
    """A measured quantity.

    The matrix holds the first seven digits of a number, and integers exactly: a range beyond that is invalid.
    Without a range, integers up to 16,777,216 and other numbers up to 1e15 are accepted, of either sign.
    """

    type: Literal["number", "integer"]
    """what a value is"""
    unit: str = ""
    """of a number: its unit"""
    range: tuple[Bound, Bound] | None = None
    """of a number: least and greatest possible value; others are rejected. A value outside of the training
    data gets a warning in any case"""
    other_units: dict[Text, Factor] = {}
    """of a number: units in which the console accepts it too, and what each is multiplied by, such as
    `{ "mmol/l" = 38.67 }`"""

    @model_validator(mode="after")
    def _units_distinct(self) -> Self:
        if self.unit and self.unit in self.other_units:
            raise ValueError(f"other_units has '{self.unit}', which is the unit itself: remove it there")
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.range is None:
            return self
        low, high = self.range
        if not low < high:
            raise ValueError("a range goes from a lower to a higher value")
        check_range(low, high, whole=self.type == "integer")
        if any(low <= code <= high for code in self.missing_codes):
            raise ValueError("a missing code must lie outside of the range")
        return self

    @cached_property
    def accepted(self) -> tuple[float, float]:
        """The lowest and the highest value accepted."""
        most = limit(whole=self.type == "integer")
        return self.range or (-most, most)

    @property
    def expectation(self) -> str:
        return self._expected(" from {:g} to {:g}".format(*self.range) if self.range else "")

    @property
    def _expectation_of_size(self) -> str:
        low, high = self.accepted
        return self.expectation if self.range else self._expected(f" from {low:.9g} to {high:.9g}")

    def _expected(self, within: str) -> str:
        kind = "a whole number" if self.type == "integer" else "a number"
        unit = f" ({self.unit})" if self.unit else ""
        return f"{kind}{within}{unit}{self.or_unknown}"

    @property
    def json_kind(self) -> Schema:
        low, high = self.accepted
        quantity: Schema = {"type": self.type, "minimum": low, "maximum": high}
        if not self.nullable:
            return quantity
        missing: list[Schema] = [{"enum": list(self.missing_codes)}] if self.missing_codes else []
        return {"anyOf": [quantity, *missing, {"type": "null"}]}

    def encode(self, value: object) -> float:
        """Return the value in the matrix; ValueError says what was expected."""
        if type(value) in (int, float):
            if value in self.missing_codes:
                return math.nan
            low, high = self.accepted
            if not low <= value <= high:  # type: ignore[operator]
                raise ValueError(f"must be {self._expectation_of_size}")
            if self.type == "number" or value == int(value):  # type: ignore[call-overload]
                return float(value)  # type: ignore[arg-type]
        elif value is None and self.nullable:
            return math.nan
        raise ValueError(f"must be {self.expectation}{no_boolean(value)}")


class CategoryFeature(FeatureBase):
    """One of a few values. `codes` maps each spelled-out category to the integer clients may send instead.

    A name that reads as a number must not be another's code: clients turn "1" into 1, and 1 into 1.0.
    """

    type: Literal["category"]
    """what a value is"""
    codes: dict[Text, Code] = Field(min_length=2)
    """of a category: code of each value, such as `{ female = 0, male = 1 }`; clients send either"""
    other: Switch = Field(default=False, exclude_if=lambda other: not other)
    """of a category: whether other values are accepted, too. They share one code, are counted, and get a
    warning"""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        check_codes(self.codes, self.missing_codes)
        if self.other and UNLISTED in self.codes:
            raise ValueError(f"no category can be called {UNLISTED}: other values are called so")
        if self.other and max(self.codes.values()) == EXACT:
            raise ValueError(f"other values need a code above all others, and there is none above {EXACT}")
        return self

    @property
    def sent_codes(self) -> dict[str, int] | None:
        """The codes that clients may send, if any."""
        return self.codes

    @cached_property
    def encoded(self) -> dict[str, int]:
        """The code of each category in the matrix, and last that of values that are not listed."""
        return self.codes | ({UNLISTED: max(self.codes.values()) + 1} if self.other else {})

    @cached_property
    def values(self) -> dict[object, float]:
        """Every accepted value that is listed, and its code in the matrix."""
        missing: list[object] = [*self.missing_codes, *([None] if self.nullable else [])]
        listed = (
            {code: float(code) for code in self.codes.values()}
            | {name: float(code) for name, code in self.codes.items()}
            | dict.fromkeys(missing, math.nan)
        )
        return OpenCodes(listed, float(self.encoded[UNLISTED])) if self.other else listed

    @property
    def expectation(self) -> str:
        if self.other:
            more = len(self.codes) - MOST_LISTED
            known = ", ".join(list(self.codes)[:MOST_LISTED]) + (f" and {more} more" if more > 0 else "")
            return f"a text or a code; known are {known}{self.or_unknown}"
        listed = ", ".join(f"{code} ({name})" for name, code in self.codes.items())
        return f"one of {listed}, as a code or spelled out{self.or_unknown}"

    @property
    def json_kind(self) -> Schema:
        if not self.other:
            return {"enum": list(self.values)}
        kinds: list[Schema] = [
            {"type": "string", "minLength": 1},
            {"type": "number", "minimum": -WIDE, "maximum": WIDE},
            *([{"type": "null"}] if self.nullable else []),
        ]
        return {"anyOf": kinds, "examples": list(self.values)}

    def name_of(self, code: float) -> str:
        """Return the category with a code of the matrix, which must have one."""
        return next(name for name, known in self.encoded.items() if known == code)

    def spelled_out(self, value: Value) -> Value:
        """Return a valid value with its name in place of a code; a missing one, or one not listed, stays."""
        names: dict[object, str] = {code: name for name, code in self.codes.items()}
        return names.get(value, value)

    def sent(self, code: float) -> str | bool:
        """Return how clients send the category with a code of the matrix."""
        return self.name_of(code)

    def spelled(self, cell: str) -> str | bool | None:
        """Return the value that a cell of a table spells out; None if it is to be read as a number."""
        return cell if self.other or cell in self.codes else None

    def encode(self, value: object) -> float:
        """Return the category's code; ValueError says what was expected.

        The check of the type rejects true, which equals 1, and lists, which cannot be looked up.
        """
        if value is None or type(value) in (int, float, str):
            try:
                return self.values[value]
            except KeyError:
                pass
        raise ValueError(f"must be {self.expectation}{no_boolean(value)}")


class BooleanFeature(CategoryFeature):
    """Whether something holds: true or false in JSON, and in a table any pair of words such as no and yes.

    The matrix has 0 and 1.
    """

    type: Literal["boolean"]  # type: ignore[assignment]
    """what a value is"""
    codes: dict[Text, Code] = {"false": 0, "true": 1}

    @model_validator(mode="after")
    def _only_true_and_false(self) -> Self:
        if self.codes != {"false": 0, "true": 1} or self.other or self.missing_codes:
            raise ValueError("a boolean is true or false: it has neither codes, missing_codes nor other")
        return self

    @property
    def expectation(self) -> str:
        return f"true or false{self.or_unknown}"

    @property
    def sent_codes(self) -> None:
        return None

    @cached_property
    def values(self) -> dict[object, float]:
        return {False: 0.0, True: 1.0} | ({None: math.nan} if self.nullable else {})

    @property
    def json_kind(self) -> Schema:
        boolean: Schema = {"type": "boolean"}
        return {"anyOf": [boolean, {"type": "null"}]} if self.nullable else boolean

    def spelled_out(self, value: Value) -> Value:
        return value

    def sent(self, code: float) -> bool:
        return bool(code == 1)

    def spelled(self, cell: str) -> bool | None:
        return TRUTH.get(cell.lower())

    def encode(self, value: object) -> float:
        """Return 0 or 1; ValueError says what was expected: 0 and "false" are no booleans of JSON."""
        if type(value) is bool or (value is None and self.nullable):
            return self.values[value]
        raise ValueError(f"must be {self.expectation}")


Feature = Annotated[NumberFeature | CategoryFeature | BooleanFeature, Field(discriminator="type")]
