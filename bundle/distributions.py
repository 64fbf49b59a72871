"""Reference distributions in `bundle.json`: what the training data look like, by feature."""

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import Discriminator, Tag, model_validator

from bundle.records import Record, Share, check_sum


class NumberDistribution(Record):
    """Training values of a number: range and mean without missing values, and the share of rows in each bin.

    `edges` are the inner edges of right-closed bins.
    """

    minimum: float
    maximum: float
    mean: float
    edges: list[float]
    shares: list[Share]
    missing: Share

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        ascending = [self.minimum, *self.edges, self.maximum]
        if ascending != sorted(ascending) or len(set(self.edges)) != len(self.edges):
            raise ValueError("edges must ascend from minimum to maximum")
        if len(self.shares) != len(self.edges) + 1:
            raise ValueError("there must be one share more than edges")
        if not self.minimum <= self.mean <= self.maximum:
            raise ValueError("the mean must lie between minimum and maximum")
        check_sum([*self.shares, self.missing])
        return self


class CategoryDistribution(Record):
    """Training values of a category: share of rows by spelled-out value."""

    shares: dict[str, Share]
    missing: Share

    @model_validator(mode="after")
    def _whole(self) -> Self:
        check_sum([*self.shares.values(), self.missing])
        return self


Distributions = Mapping[str, NumberDistribution | CategoryDistribution]
"""By the name of the feature."""


def _kind(distribution: object) -> str:
    """Return the kind of a distribution: only that of a number has edges."""
    number = isinstance(distribution, NumberDistribution) or (
        isinstance(distribution, dict) and "edges" in distribution
    )
    return "number" if number else "category"


Distribution = Annotated[
    Annotated[NumberDistribution, Tag("number")] | Annotated[CategoryDistribution, Tag("category")],
    Discriminator(_kind),
]
