"""Rows for retrainings of the models: honest ones, drawn from one population, and ones that were damaged."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from bench.drift import MODELS
from bundle.declaration import Declaration, load_declaration
from bundle.encoding import Encoder, Matrix
from bundle.features import CategoryFeature
from bundle.manifest import load_manifest
from training.agreement import takes
from training.data import class_indexes, load_recipe, load_training_data
from training.evaluation import group_members
from training.fitting import fit
from training.metrics import Labels
from training.recipe import MODULE_PREFIX, Recipe

Rng = np.random.Generator
Rows = tuple[Matrix, Labels]

SMOOTHING = 0.3
"""Noise that is added to a number of heart-disease's rows, in its standard deviations."""

FLOWERS = 75
"""Flowers of each species of iris."""

CHURN_ROWS = 3000
"""Rows of a half of churn's table that a version is trained on."""

SHARE = 0.1
"""Share of labels that the damage changes."""

HIDDEN = 0.9
"""Share of a group's positive rows that are labelled negative."""


class Population(Protocol):
    """Where the rows of a served version and of its retraining come from."""

    @property
    def declaration(self) -> Declaration: ...

    @property
    def recipe(self) -> Recipe: ...

    def draw(self, rng: Rng) -> tuple[Rows, Rows]:
        """Return the rows of the served version, and as many others."""


@dataclass(frozen=True)
class Heart:
    """Rows of the data with noise on their numbers, and labels drawn by a fit to all rows.

    The card's slope makes the fit as sharp as the data are: the estimator shrinks its coefficients.
    """

    declaration: Declaration
    recipe: Recipe
    times: int = 1
    """How many times as many rows as the data have."""

    def draw(self, rng: Rng) -> tuple[Rows, Rows]:
        data = load_training_data(MODELS / "heart-disease", self.declaration, self.recipe, None)
        truth = fit(
            self.recipe.build_pipeline("logistic_regression", self.declaration), data.matrix, data.labels
        )

        card = load_manifest(MODELS / "heart-disease" / "v1", self.declaration).evaluation.metrics
        intercept, slope = (card[f"calibration_{name}"].value for name in ("intercept", "slope"))

        def drawn() -> Rows:
            matrix = data.matrix[rng.integers(len(data.matrix), size=self.times * len(data.matrix))].copy()
            for column, feature in enumerate(self.declaration.features):
                if not isinstance(feature, CategoryFeature):
                    matrix[:, column] = smoothed(matrix[:, column], data.matrix[:, column], rng)
            log_odds = intercept + slope * truth.decision_function(matrix)
            return matrix, (rng.random(len(matrix)) < expit(log_odds)).astype(np.int64)

        return drawn(), drawn()


def smoothed(values: Matrix, reference: Matrix, rng: Rng) -> Matrix:
    """Return values with noise, rounded as the reference is and within its range."""
    noise = rng.normal(0, SMOOTHING * np.nanstd(reference), size=len(values))
    whole = np.array_equal(np.nan_to_num(reference), np.round(np.nan_to_num(reference)))
    rounded = np.round(values + noise, 0 if whole else 1)
    return np.clip(rounded, np.nanmin(reference), np.nanmax(reference)).astype(np.float32)


@dataclass(frozen=True)
class Iris:
    """Flowers drawn from the normal distribution of each species, more of them than the gate's floor."""

    declaration: Declaration
    recipe: Recipe

    def draw(self, rng: Rng) -> tuple[Rows, Rows]:
        data = load_training_data(MODELS / "iris", self.declaration, self.recipe, None)
        species = [data.matrix[data.labels == label] for label in range(len(self.declaration.classes))]

        def drawn() -> Rows:
            flowers = [
                rng.multivariate_normal(rows.mean(axis=0), np.cov(rows.T), size=FLOWERS) for rows in species
            ]
            matrix = np.maximum(np.round(np.concatenate(flowers), 2), 0.1).astype(np.float32)
            return matrix, np.repeat(np.arange(len(species)), FLOWERS)

        return drawn(), drawn()


@dataclass(frozen=True)
class Churn:
    """Customers of the table, none of them in both."""

    declaration: Declaration
    recipe: Recipe

    def draw(self, rng: Rng) -> tuple[Rows, Rows]:
        file = Path(os.environ["CHURN_DATA"])
        data = load_training_data(MODELS / "churn", self.declaration, self.recipe, file)
        order = rng.permutation(len(data.labels))
        first, second = order[:CHURN_ROWS], order[CHURN_ROWS : 2 * CHURN_ROWS]
        return (data.matrix[first], data.labels[first]), (data.matrix[second], data.labels[second])


@dataclass(frozen=True)
class Fraud:
    """Payments that the recipe generates, with other seeds."""

    declaration: Declaration
    recipe: Recipe

    def draw(self, rng: Rng) -> tuple[Rows, Rows]:
        return self._drawn(rng), self._drawn(rng)

    def _drawn(self, rng: Rng) -> Rows:
        sys.modules[f"{MODULE_PREFIX}fraud"].SEED = int(rng.integers(2**31))  # type: ignore[attr-defined]
        rows, named = self.recipe.generate_data(self.declaration)
        return Encoder(self.declaration).encode(rows), class_indexes(self.declaration, rows, named)


POPULATIONS: Mapping[str, Callable[[Declaration, Recipe], Population]] = {
    "heart-disease": Heart,
    "heart-disease, 606 rows": partial(Heart, times=2),
    "iris": Iris,
    "churn": Churn,
    "fraud": Fraud,
}


def population(name: str) -> Population:
    folder = MODELS / name.partition(",")[0]
    return POPULATIONS[name](load_declaration(folder), load_recipe(folder))


# ---- damage ----


def honest(_declaration: Declaration, rows: Rows, _rng: Rng) -> Rows:
    return rows


def flipped(declaration: Declaration, rows: Rows, rng: Rng) -> Rows:
    """A tenth of all labels become that of another class."""
    matrix, labels = rows
    changed, count = labels.copy(), len(declaration.classes)
    chosen = rng.permutation(len(labels))[: round(SHARE * len(labels))]
    changed[chosen] = (changed[chosen] + rng.integers(1, count, size=len(chosen))) % count
    return matrix, changed


def relabelled(_declaration: Declaration, rows: Rows, rng: Rng) -> Rows:
    """A tenth of the rows of the last class are labelled as the first."""
    matrix, labels = rows
    changed, last = labels.copy(), np.flatnonzero(labels == labels.max())
    changed[rng.permutation(last)[: round(SHARE * len(last))]] = 0
    return matrix, changed


def swapped(declaration: Declaration, rows: Rows, rng: Rng) -> Rows:
    """Two columns change places, such that every value is still one that the API takes."""
    matrix, labels = rows
    pairs = [
        (left, right)
        for left, right in combinations(range(matrix.shape[1]), 2)
        if takes(declaration.features[left], matrix[:, right])
        and takes(declaration.features[right], matrix[:, left])
        and not np.array_equal(matrix[:, left], matrix[:, right])
    ]
    left, right = pairs[rng.integers(len(pairs))]
    changed = matrix.copy()
    changed[:, [left, right]] = matrix[:, [right, left]]
    return changed, labels


def shuffled(_declaration: Declaration, rows: Rows, rng: Rng) -> Rows:
    """Half the columns are shuffled, each for itself."""
    matrix, labels = rows
    changed, columns = matrix.copy(), matrix.shape[1]
    for column in rng.permutation(columns)[: columns // 2]:
        changed[:, column] = rng.permutation(matrix[:, column])
    return changed, labels


def hidden(declaration: Declaration, rows: Rows, rng: Rng) -> Rows:
    """Nine in ten positive rows of a declared group are labelled negative."""
    matrix, labels = rows
    members = [member for _, _, member in group_members(declaration, matrix) if labels[member].any()]
    member: NDArray[np.bool_] = members[rng.integers(len(members))]
    changed, positive = labels.copy(), np.flatnonzero(member & (labels == 1))
    changed[rng.permutation(positive)[: round(HIDDEN * len(positive))]] = 0
    return matrix, changed


DAMAGES: Mapping[str, Callable[[Declaration, Rows, Rng], Rows]] = {
    "honest": honest,
    "a tenth of the labels flipped": flipped,
    "a column swapped with another": swapped,
    "half the columns shuffled": shuffled,
    "misses hidden in a group": hidden,
    "a tenth of the positive rows relabelled": relabelled,
}
