"""Whether new rows agree with the served version: its probabilities, and the rows that it was trained on.

Each statistic says by how many standard errors a column, a pair of columns or a group of the new rows means
something else than the served version learned, or is labelled otherwise.
"""

from collections.abc import Callable, Iterator
from itertools import combinations

import numpy as np
from scipy.stats import rankdata

from bundle.bins import Bins, feature_bins
from bundle.declaration import Declaration
from bundle.distributions import Distributions
from bundle.encoding import Matrix
from bundle.evaluation import GroupMetrics
from bundle.features import CategoryFeature, Feature
from training.data import TrainingData
from training.evaluation import group_members
from training.evidence import Evidence
from training.gate import Comparison
from training.metrics import Floats, Labels
from training.noise import spread

PERMUTATIONS = 5
LEAST_PROBABILITY = 1e-4
"""Probabilities are raised to it before their logarithm is taken."""

LEAST_GROUP = 10
"""Groups with fewer rows, or of which fewer are expected to be positive, say nothing about themselves."""

Predict = Callable[[Matrix], Floats]


def z_score(values: Floats, noise: float = 0.0) -> float:
    """Return the mean of values [rows] in its standard errors, that of other training rows included."""
    error = np.hypot(values.std() / np.sqrt(len(values)), noise)
    return float(values.mean() / error) if error > 0 else 0.0


def column_evidence(
    declaration: Declaration,
    rows: TrainingData,
    comparison: Comparison,
    predict: Predict,
    version: str,
) -> Iterator[Evidence]:
    """Yield for each column how far its bearing on the class is under what the served version makes of it.

    The bearing is the log of a row's probabilities over those with another row's value in the column.
    """
    served, candidate = (
        versions.probabilities.mean(axis=0) for versions in (comparison.served, comparison.candidate)
    )
    observed = np.eye(len(declaration.classes))[rows.labels] - served
    for column, feature in enumerate(declaration.features):
        bearing = column_bearing(predict, rows.matrix, column)
        differences = [
            float(((half.probabilities - candidate[half.others]) * bearing[half.others]).sum(axis=1).mean())
            for half in comparison.halves
        ]
        noise = spread(differences) * np.sqrt(len(rows.labels) / comparison.trained_rows)
        yield Evidence(
            -z_score((observed * bearing).sum(axis=1), noise),
            f"a column looks mixed up: '{feature.name}' bears less on the class than {version} learned, "
            "beyond noise; compare the column with its source, and the order of rows and labels",
        )


def column_bearing(predict: Predict, matrix: Matrix, column: int) -> Floats:
    """Return the log-ratio [rows, classes] that a column's value makes, on average over permutations."""
    random, changed = np.random.default_rng(0), matrix.copy()
    logarithms = []
    for _ in range(PERMUTATIONS):
        changed[:, column] = random.permutation(matrix[:, column])
        logarithms.append(_logarithm(predict(changed)))
    return np.asarray(_logarithm(predict(matrix)) - np.mean(logarithms, axis=0))


def _logarithm(probabilities: Floats) -> Floats:
    return np.asarray(np.log(np.maximum(probabilities, LEAST_PROBABILITY)))


def group_evidence(
    declaration: Declaration,
    rows: TrainingData,
    served: Floats,
    card: list[GroupMetrics],
    version: str,
) -> Iterator[Evidence]:
    """Yield for each declared group how far its positives are off the card's share and what is predicted.

    One alone is no evidence: a share differs where other people come, and estimators that shrink are off for
    a group of few.
    """
    known = {(group.feature, group.group): group for group in card}
    for name, group, member in group_members(declaration, rows.matrix):
        before = known.get((name, group))
        if before is None or min(member.sum(), before.rows) < LEAST_GROUP:
            continue
        expected, labels = served[member, 1], rows.labels[member]
        if min(before.positives, expected.sum()) < LEAST_GROUP:
            continue
        by_rows = _residual(labels, expected)
        by_card = _share_difference(labels, before)
        z = min(abs(by_rows), abs(by_card)) if by_rows * by_card > 0 else 0.0
        yield Evidence(
            z,
            f"labels of a group look wrong: {labels.sum()} of {len(labels)} rows of {name}: {group} are "
            f"'{declaration.labels[1]}', where {version} expects {expected.sum():.0f} and was trained on "
            f"{before.positives} of {before.rows}; find out who labelled them",
        )


def _residual(labels: Labels, expected: Floats) -> float:
    variance = float((expected * (1 - expected)).sum())
    return float((labels.sum() - expected.sum()) / np.sqrt(variance)) if variance > 0 else 0.0


def _share_difference(labels: Labels, before: GroupMetrics) -> float:
    rows = len(labels) + before.rows
    pooled = (labels.sum() + before.positives) / rows
    variance = pooled * (1 - pooled) * (1 / len(labels) + 1 / before.rows)
    difference = labels.mean() - before.positives / before.rows
    return float(difference / np.sqrt(variance)) if variance > 0 else 0.0


def swap_evidence(
    declaration: Declaration, matrix: Matrix, reference: Distributions, trained_rows: int, version: str
) -> Iterator[Evidence]:
    """Yield for each pair of columns how much more alike the distributions are with the two exchanged."""
    features = declaration.features
    bins = [feature_bins(feature, reference[feature.name]) for feature in features]
    for left, right in combinations(range(len(features)), 2):
        if not (takes(features[left], matrix[:, right]) and takes(features[right], matrix[:, left])):
            continue
        gain = sum(
            _surprise(bins[column], matrix[:, column], trained_rows)
            - _surprise(bins[place], matrix[:, column], trained_rows)
            for place, column in ((left, right), (right, left))
        )
        yield Evidence(
            z_score(np.asarray(gain)),
            f"columns look swapped: the values of '{features[left].name}' are like those of "
            f"'{features[right].name}' that {version} was trained on, and the reverse; exchange them",
        )


def _surprise(bins: Bins, values: Matrix, rows: int) -> Floats:
    """Return the log of the share of each value's bin [rows], here over in the reference.

    Half a row is added to each bin. The mean is the Kullback-Leibler divergence from the reference.
    """
    before = (np.array(bins.shares) * rows + 0.5) / (rows + 0.5 * len(bins.shares))
    now = (bins.count(values) + 0.5) / (len(values) + 0.5 * len(bins.shares))
    places = np.take(bins.places, np.searchsorted(bins.bounds, values, side="right"))
    return np.asarray(np.log(now / before)[places])


def takes(feature: Feature, values: Matrix) -> bool:
    """Return whether all values are ones that a feature may have."""
    missing = np.isnan(values)
    present = values[~missing]
    if (missing.any() and not feature.nullable) or not len(present):
        return False
    if isinstance(feature, CategoryFeature):
        return set(present.tolist()) <= {float(code) for code in feature.encoded.values()}
    low, high = feature.accepted
    whole = feature.type == "number" or np.array_equal(present, np.round(present))
    return bool(whole and present.min() >= low and present.max() <= high)


def association_evidence(
    declaration: Declaration, rows: TrainingData, trained: TrainingData, version: str
) -> Iterator[Evidence]:
    """Yield for each pair of columns, and of a column and a class, how much their correlation has changed."""
    now, before = (_ranked(declaration, data) for data in (rows, trained))
    classes = [f"the class {declaration.labels[label]}" for label in _told(declaration)]
    names = [*declaration.feature_names, *classes]
    columns = len(declaration.features)
    for left, right in combinations(range(len(names)), 2):
        if left >= columns:
            continue
        pairs = [_correlation(data[:, left], data[:, right]) for data in (before, now)]
        (first, first_error), (second, second_error) = pairs
        error = np.hypot(first_error, second_error)
        yield Evidence(
            float(abs(second - first) / error) if error > 0 else 0.0,
            f"columns do not belong together: '{names[left]}' and '{names[right]}' correlate by "
            f"{np.tanh(second):.2f}, in the rows of {version} by {np.tanh(first):.2f}; compare both with "
            "their source, and the order of rows",
        )


def _told(declaration: Declaration) -> range:
    """Return the classes that are looked at: of two, one tells all."""
    return range(1 if declaration.binary else 0, len(declaration.classes))


def _ranked(declaration: Declaration, data: TrainingData) -> Floats:
    """Return ranks of numbers, codes of categories (missing: the middle), and each class as 0 or 1."""
    columns = [_ranks(column) for column in data.matrix.T.astype(np.float64)]
    classes = [(data.labels == label).astype(np.float64) for label in _told(declaration)]
    return np.stack([*columns, *classes], axis=1)


def _ranks(values: Floats) -> Floats:
    return np.asarray(rankdata(np.where(np.isnan(values), np.nanmedian(values), values)))


def _correlation(first: Floats, second: Floats) -> tuple[float, float]:
    """Return a correlation on Fisher's scale, with its standard error from the rows; 0 for a constant."""
    if first.std() == 0 or second.std() == 0:
        return 0.0, 0.0
    x, y = ((values - values.mean()) / values.std() for values in (first, second))
    value = float((x * y).mean())
    influence = x * y - value * (np.square(x) + np.square(y)) / 2
    clipped = min(max(value, -0.99), 0.99)
    error = float(influence.std() / np.sqrt(len(x)) / (1 - clipped**2))
    return float(np.arctanh(clipped)), max(error, 0.5 / np.sqrt(len(x)))
