"""What float32, in which the matrix is held, can tell apart."""

import math
from typing import Annotated

from pydantic import Field

EXACT = 2**24
"""Up to here float32 tells every whole number from the next."""

LARGEST = 3.4e38
FEWEST_VALUES = 1000

Code = Annotated[int, Field(strict=True, ge=-EXACT, le=EXACT)]
Bound = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-LARGEST, le=LARGEST)]


def check_range(low: float, high: float, *, whole: bool) -> None:
    """Refuse a range of which float32 would make several values one; ValueError says what to do."""
    largest = max(abs(low), abs(high))
    if whole and largest > EXACT:
        raise ValueError(
            f"a whole number beyond {EXACT} loses its last digits: declare a number if it is a quantity, "
            "and leave out what only names something"
        )
    step = math.ldexp(1, math.frexp(largest)[1] - 24)
    if not whole and high - low < FEWEST_VALUES * step:
        raise ValueError("float32 tells too few values of this range apart: subtract a constant from each")
