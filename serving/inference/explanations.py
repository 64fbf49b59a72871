"""Why a row got its score: what each feature adds to the log-odds, against an average training row.

Of two classes the log-odds are those of the positive class; of more, those of the answer against the class
that comes next. Contributions add up to them, from the reference: the log-odds of the average row. They say
what the model made of the values, not what causes an outcome.

A model that adds up is explained exactly, from its terms. Any other is asked about rows that have some values
of the row and the others of the average row (its means, and its most frequent categories), and contributions
are Shapley values (Shapley, "A value for n-person games", 1953; Lundberg and Lee, "A unified approach to
interpreting model predictions", 2017): over all sets of features where there are few, else over random orders
in which the features take their values. These are drawn once, so that the same row is explained alike.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bundle.additive import AdditiveModel, CategoryTerm, NumberTerm, Outputs
from bundle.declaration import CategoryFeature, Declaration, Feature
from bundle.manifest import CategoryDistribution, NumberDistribution
from serving.inference.engine import Engine

Distributions = Mapping[str, NumberDistribution | CategoryDistribution]

Split = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""From the scores of sets of features [sets] to what each feature adds [samples, features]."""

MOST_FEATURES = 10
"""Up to so many features, all sets of them are asked about."""

ORDERS = 64
"""Random orders of more features than that; each is taken backwards, too."""

LEAST_PROBABILITY = 1e-6
"""What counts as 0: its logarithm must be finite."""

MENTIONED = 3
LEAST_MENTIONED = 0.1


@dataclass(frozen=True, slots=True)
class Explanation:
    """Contributions to the log-odds of one class against another, by feature in declared order.

    `reference` and the contributions add up to the row's log-odds. `standard_errors` are those of sampling.
    """

    index: int
    against: int
    method: str
    reference: float
    contributions: list[float]
    standard_errors: list[float] | None = None

    @property
    def log_odds(self) -> float:
        return self.reference + sum(self.contributions)


class Explainer(Protocol):
    def explain(self, values: Sequence[float], index: int, against: int) -> Explanation:
        """Explain one encoded row; EngineError where the engine fails."""
        ...


class AdditiveExplainer:
    """Explains a model by its terms."""

    def __init__(self, model: AdditiveModel, features: Sequence[Feature], trained: Distributions) -> None:
        self._terms = model.terms
        self._means = [
            mean_contribution(term, feature, trained[feature.name])
            for term, feature in zip(model.terms, features, strict=True)
        ]
        self._reference = [sum(column) for column in zip(model.intercept, *self._means, strict=True)]

    def explain(self, values: Sequence[float], index: int, against: int) -> Explanation:
        contributions = [
            difference(term.contribution(value), index, against) - difference(mean, index, against)
            for term, value, mean in zip(self._terms, values, self._means, strict=True)
        ]
        reference = difference(self._reference, index, against)
        return Explanation(index, against, "exact: the model adds up", reference, contributions)


def difference(outputs: Outputs, index: int, against: int) -> float:
    """Return the log-odds of one class against another; with a single output it is the positive class's."""
    return outputs[0] if len(outputs) == 1 else outputs[index] - outputs[against]


def mean_contribution(
    term: NumberTerm | CategoryTerm,
    feature: Feature,
    trained: NumberDistribution | CategoryDistribution,
) -> Outputs:
    """Return what a feature contributes on average over the training data."""
    if isinstance(trained, CategoryDistribution) and isinstance(feature, CategoryFeature):
        weighted = [(share, term.contribution(feature.codes[name])) for name, share in trained.shares.items()]
    elif isinstance(trained, NumberDistribution):
        weighted = [(1 - trained.missing, term.contribution(trained.mean))]
    weighted.append((trained.missing, term.contribution(math.nan)))
    return [
        math.fsum(share * value for (share, _), value in zip(weighted, column, strict=True))
        for column in zip(*(outputs for _, outputs in weighted), strict=True)
    ]


class ShapleyExplainer:
    """Explains any model by asking about mixtures of the row and the average row."""

    def __init__(self, engine: Engine, features: Sequence[Feature], trained: Distributions) -> None:
        self._engine = engine
        self._average = np.array([average(feature, trained[feature.name]) for feature in features])
        number = len(features)
        self._exact = number <= MOST_FEATURES
        self._taken, self._split = all_sets(number) if self._exact else random_orders(number)

    def explain(self, values: Sequence[float], index: int, against: int) -> Explanation:
        mixtures = np.where(self._taken, np.array(values), self._average).astype(np.float32)
        probabilities = np.maximum(self._engine.probabilities(mixtures).astype(np.float64), LEAST_PROBABILITY)
        log_odds = np.log(probabilities[:, index] / probabilities[:, against])
        reference = float(log_odds[0])
        each = self._split(log_odds)
        contributions = each.mean(axis=0).tolist()
        if self._exact:
            method = f"Shapley values over all {len(mixtures)} sets of features"
            return Explanation(index, against, method, reference, contributions)
        method = f"Shapley values over {2 * ORDERS} random orders of the features"
        errors = (each.std(axis=0, ddof=1) / math.sqrt(len(each))).tolist()
        return Explanation(index, against, method, reference, contributions, errors)


def average(feature: Feature, trained: NumberDistribution | CategoryDistribution) -> float:
    """Return a feature's value in the average row: its mean, or its most frequent category."""
    if isinstance(trained, CategoryDistribution) and isinstance(feature, CategoryFeature):
        return float(feature.codes[max(trained.shares, key=trained.shares.__getitem__)])
    return trained.mean if isinstance(trained, NumberDistribution) else math.nan


def all_sets(number: int) -> tuple[NDArray[np.bool_], Split]:
    """Return all sets of features [sets, features], the empty one first, and what splits their scores.

    Of a set without the feature, what the feature adds counts as often as orders begin with that set.
    """
    taken = (np.arange(2**number)[:, None] >> np.arange(number)) & 1 == 1
    sizes = taken.sum(axis=1)
    share = np.array([1 / (number * math.comb(number - 1, size)) for size in range(number)])
    added, lacking = share[np.maximum(sizes - 1, 0)], share[np.minimum(sizes, number - 1)]
    weights = np.where(taken.T, added, -lacking)
    return taken, lambda scores: (weights @ scores)[None]


def random_orders(number: int) -> tuple[NDArray[np.bool_], Split]:
    """Return the sets [sets, features] that arise in random orders, and what splits their scores.

    What a feature adds is taken from an order and its reverse together, which differ in opposite ways.
    """
    random = np.random.default_rng(0)
    places: dict[bytes, int] = {}

    def place(members: NDArray[np.bool_]) -> int:
        return places.setdefault(members.tobytes(), len(places))

    steps = np.empty((2, ORDERS, 2, number), dtype=np.intp)  # before and after, orders, there and back
    for order in range(ORDERS):
        drawn = random.permutation(number)
        for way, walk in enumerate((drawn, drawn[::-1])):
            members = np.zeros(number, dtype=np.bool_)
            for feature in walk:
                steps[0, order, way, feature] = place(members)
                members[feature] = True
                steps[1, order, way, feature] = place(members)
    before, after = steps
    taken = np.array([np.frombuffer(members, dtype=np.bool_) for members in places])
    return taken, lambda scores: (scores[after] - scores[before]).mean(axis=1)


def describe(explanation: Explanation, declaration: Declaration, values: Sequence[float]) -> dict[str, Any]:
    """Return what an answer says of an explanation."""
    of, against = declaration.labels[explanation.index], declaration.labels[explanation.against]
    shown = [_shown(feature, value) for feature, value in zip(declaration.features, values, strict=True)]
    contributions: list[dict[str, Any]] = [
        {
            "feature": feature.name,
            "value": value,
            "unit": None if isinstance(feature, CategoryFeature) else feature.unit,
            "contribution": round(contribution, 6),
        }
        for feature, value, contribution in zip(
            declaration.features, shown, explanation.contributions, strict=True
        )
    ]
    if explanation.standard_errors:
        for told, error in zip(contributions, explanation.standard_errors, strict=True):
            told["standard_error"] = round(error, 6)
    return {
        "of": of,
        "against": against,
        "method": explanation.method,
        "log_odds": round(explanation.log_odds, 6),
        "reference": round(explanation.reference, 6),
        "contributions": contributions,
        "sentence": _sentence(explanation, declaration, shown),
    }


def _shown(feature: Feature, value: float) -> int | float | str | None:
    """Return an encoded value as people read it."""
    if math.isnan(value):
        return None
    if isinstance(feature, CategoryFeature):
        return next(name for name, code in feature.codes.items() if code == value)
    return int(value) if feature.type == "integer" else value


def _sentence(
    explanation: Explanation, declaration: Declaration, shown: Sequence[int | float | str | None]
) -> str:
    of, against = declaration.labels[explanation.index], declaration.labels[explanation.against]
    subject = of if declaration.binary else f"{of}, if it is that or {against},"
    here, usual = (1 / (1 + math.exp(-it)) for it in (explanation.log_odds, explanation.reference))
    said = [f"{subject} has a probability of {here:.1%} here, and of {usual:.1%} for an average row."]
    ranked = sorted(enumerate(explanation.contributions), key=lambda it: -abs(it[1]))
    for sign, opening in ((1, "Most for it"), (-1, "Most against it")):
        found = [(place, it) for place, it in ranked if sign * it >= LEAST_MENTIONED][:MENTIONED]
        told = [
            f"{_told(declaration.features[place], shown[place])} (odds x {math.exp(it):.2g})"
            for place, it in found
        ]
        if told:
            said.append(f"{opening}: {'; '.join(told)}.")
    return " ".join(said)


def _told(feature: Feature, value: float | str | None) -> str:
    if value is None:
        return f"{feature.description}: unknown"
    unit = "" if isinstance(feature, CategoryFeature) else f" {feature.unit}"
    written = value if isinstance(value, str) else f"{value:g}"
    return f"{feature.description}: {written}{unit}"
