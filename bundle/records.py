"""What every part of `bundle.json` shares: strict records, and shares that sum up to 1."""

import math
from collections.abc import Collection
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

ROUNDING = 1e-4
"""Largest rounding error of one of the shares that sum up to 1."""

Share = Annotated[float, Field(ge=0, le=1)]


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def check_sum(shares: Collection[float]) -> None:
    """Raise ValueError where shares do not sum up to 1."""
    if abs(math.fsum(shares) - 1) > ROUNDING * len(shares):
        raise ValueError("shares must sum up to 1")
