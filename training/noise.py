"""How much a fit moves by chance: pipelines fitted to random halves of the rows.

Over halves drawn without replacement the variance of what is fitted to n / 2 rows, around what all of them
share, is that of a fit to all n: s2 / (n / 2) - s2 / n = s2 / n (the delete-half jackknife; Shao and Wu, "A
general theory for jackknife variance estimation", Annals of Statistics 17, 1989).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedShuffleSplit
from sklearn.pipeline import Pipeline

from bundle.encoding import Matrix
from training.fitting import fit, predict_classes
from training.metrics import Floats, Labels

HALVES = 10


@dataclass(frozen=True)
class Half:
    """A pipeline fitted to half of the rows, the other half [rows], and its probabilities for those."""

    pipeline: Pipeline
    others: NDArray[np.int64]
    probabilities: Floats


def fit_halves(build: Callable[[], Pipeline], matrix: Matrix, labels: Labels, classes: int) -> list[Half]:
    halves = []
    for train, others in StratifiedShuffleSplit(HALVES, test_size=0.5, random_state=0).split(matrix, labels):
        pipeline = fit(build(), matrix[train], labels[train])
        halves.append(Half(pipeline, others, predict_classes(pipeline, matrix[others], classes)))
    return halves


def spread(values: list[float]) -> float:
    """Return the standard deviation by chance of what each half gave; one half alone tells none."""
    present = np.array(values)[np.isfinite(values)]
    return float(present.std(ddof=1)) if len(present) > 1 else 0.0
