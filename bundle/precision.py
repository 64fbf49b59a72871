"""Limits of float32, the type of the matrix: which values it can distinguish."""

import math
from typing import Annotated

from pydantic import Field

EXACT = 2**24
"""Up to here float32 holds every whole number."""

LARGEST = 3.4e38
WIDE = 1e15
"""The largest number of a feature without a range: pipelines can square it in float32."""

FEWEST_VALUES = 1000

Code = Annotated[int, Field(strict=True, ge=-EXACT, le=EXACT)]
Bound = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-LARGEST, le=LARGEST)]


def limit(*, whole: bool) -> float:
    """Return the largest magnitude that a feature without a range accepts."""
    return EXACT if whole else WIDE


def check_range(low: float, high: float, *, whole: bool) -> None:
    """Reject a range with values that float32 cannot distinguish; ValueError says what to do."""
    largest = max(abs(low), abs(high))
    if whole and largest > EXACT:
        raise ValueError(
            f"a whole number beyond {EXACT} loses its last digits: declare a number if it is a quantity, "
            "and leave out a number that is only a name"
        )
    step = math.ldexp(1, math.frexp(largest)[1] - 24)
    if not whole and high - low < FEWEST_VALUES * step:
        raise ValueError("float32 distinguishes too few values of this range: subtract a constant from each")
