"""What a float32 stands for, and thresholds that tell float32 values apart as they do float64 ones."""

import numpy as np
from numpy.typing import NDArray

Singles = NDArray[np.float32]
Doubles = NDArray[np.float64]

MOST_PLACES = 6


def shortest(values: Singles) -> Doubles:
    """Return the shortest decimal of each float32, as clients send it: 67.4, not 67.400001525878906."""
    return values.astype(str).astype(np.float64)


def at_most(thresholds: Doubles) -> Singles:
    """Return the greatest float32 that is no greater than each threshold."""
    near = thresholds.astype(np.float32)
    return np.where(near > thresholds, np.nextafter(near, np.float32(-np.inf)), near).astype(np.float32)


def decimal_places(values: Doubles) -> int | None:
    """Return how many decimal places all values have at most; None if more than six."""
    present = values[np.isfinite(values)]
    return next(
        (digits for digits in range(MOST_PLACES + 1) if (present == present.round(digits)).all()), None
    )
