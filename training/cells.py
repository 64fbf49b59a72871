"""Cells of rows that no metric tells apart, or hardly: of one class, alike in what each version predicts.

What counts rows is exact: rows of a cell lie on the same side of every threshold and in the same bin of the
card's calibration. What reads probabilities takes those of one of the cell's rows.
"""

from collections.abc import Sequence

import numpy as np

from bundle.declaration import Declaration
from bundle.score import scores
from training.metrics import Floats, Labels, brier, log_odds, predict
from training.resampling import MOST_ROWS, CellResamples, Resamples, row_resamples

SCORE_BINS = 10
"""Bins of the calibration on the card."""


BINS_ALONE, BINS_COMPARED = 500, 50
"""Bins of a class by the first version's log-odds, alone and where another is compared with it."""

BINS_OF_DIFFERENCE = 2
"""So many times more bins each of these has by how far the other version's log-odds are from them."""


def resamples_of(declaration: Declaration, labels: Labels, versions: Sequence[Floats]) -> Resamples:
    """Return resamples that all versions share, given the probabilities [repeats, rows, classes] of each."""
    if len(labels) <= MOST_ROWS:
        return row_resamples(len(labels))
    bins = BINS_ALONE if len(versions) == 1 else BINS_COMPARED
    cells = _cells(declaration, labels, versions, bins)
    while cells.max() >= MOST_ROWS and bins > 1:
        bins = bins * 4 // 5
        cells = _cells(declaration, labels, versions, bins)
    return CellResamples(cells, len(labels))


def thresholds_of(declaration: Declaration) -> list[float]:
    """Return the declared threshold, and the cheapest one for calibrated probabilities, if there are any."""
    declared, cost_ratio = declaration.threshold, declaration.cost_of_false_negative
    if declared is None:
        return []
    return list(dict.fromkeys([declared] if cost_ratio is None else [declared, 1 / (1 + cost_ratio)]))


def _cells(declaration: Declaration, labels: Labels, versions: Sequence[Floats], bins: int) -> Labels:
    cells = labels
    thresholds: list[float | None] = [*thresholds_of(declaration)] or [None]
    for probabilities in versions:
        for repeat in probabilities:
            for threshold in thresholds:
                cells = _joined(cells, predict(repeat, threshold))
            cells = _joined(cells, score_bins(scores(repeat)))
    first, *others = (probabilities.mean(axis=0) for probabilities in versions)
    places = _joined(labels, _bins(labels, _value(declaration, labels, first), bins))
    for other in others:
        difference = _value(declaration, labels, other) - _value(declaration, labels, first)
        places = _joined(places, _bins(places, difference, BINS_OF_DIFFERENCE * bins))
    return _joined(cells, places)


def score_bins(values: Floats) -> Labels:
    """Return the number of the bin of each score."""
    return np.minimum((values * SCORE_BINS).astype(np.int64), SCORE_BINS - 1)


def _value(declaration: Declaration, labels: Labels, probabilities: Floats) -> Floats:
    """Return what metrics read of a row beside its class: the log-odds, or of more classes the error."""
    if not declaration.binary:
        return brier(labels, probabilities, None)
    return log_odds(probabilities[:, 1])


def _bins(groups: Labels, values: Floats, bins: int) -> Labels:
    """Return the bin of each row's value in its group, each with about as many rows."""
    order = np.lexsort((values, groups))
    _, starts, sizes = np.unique(groups[order], return_index=True, return_counts=True)
    ranks = np.arange(len(order)) - np.repeat(starts, sizes)
    numbers = np.empty(len(order), dtype=np.int64)
    numbers[order] = ranks * bins // np.repeat(sizes, sizes)
    return numbers


def _joined(cells: Labels, numbers: Labels) -> Labels:
    """Return cells that are apart wherever one of two numberings is, numbered from 0."""
    joined = cells * (numbers.max() + 1) + numbers
    return np.asarray(np.unique(joined, return_inverse=True)[1], dtype=np.int64)
