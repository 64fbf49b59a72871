"""The score: with two classes the probability of the positive class, with more that of the predicted class.

Drift, calibration and feedback all read it, and the log of a prediction shows it.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

POSITIVE = 1
"""Index of the positive class of two."""

TWO = 2


def score(probabilities: Sequence[float], predicted: int) -> float:
    """Return the score of one row; `predicted` is the index of the predicted class."""
    return probabilities[POSITIVE if len(probabilities) == TWO else predicted]


def scores(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the scores [...] of probabilities [..., classes].

    With more than two classes the predicted class is the most probable one: only two have a threshold.
    """
    if probabilities.shape[-1] == TWO:
        return probabilities[..., POSITIVE]
    return np.asarray(probabilities.max(axis=-1))
