"""Why a row got its score: what each feature adds to the log-odds, compared with a baseline row.

With two classes the log-odds are those of the positive class; with more, those of the predicted class against
the second most probable. The baseline's log-odds and the contributions add up to them. Contributions explain
the model's output, not what causes the outcome.

An additive model is explained exactly, from its terms; its baseline is the mean over the training data. For
any other model the baseline has the means and most frequent categories of the training data. The model
predicts rows that take some values from the explained row and the others from the baseline, and contributions
are Shapley values (Shapley, "A value for n-person games", 1953; Lundberg and Lee, "A unified approach to
interpreting model predictions", 2017): over all sets of features where there are few, else over random orders
of the features. The orders are drawn once, so that the same row always gets the same explanation.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bundle.additive import AdditiveModel, CategoryTerm, NumberTerm, Outputs
from bundle.declaration import Declaration
from bundle.distributions import CategoryDistribution, NumberDistribution
from bundle.features import CategoryFeature, Feature, NumberFeature, Value
from serving.inference.engine import Engine

Distributions = Mapping[str, NumberDistribution | CategoryDistribution]

Split = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""From the scores of sets of features [sets] to what each feature adds [samples, features]."""

MOST_FEATURES = 10
"""Up to this many features, all sets of them are evaluated."""

ORDERS = 64
"""Random orders of more features than that; each is also taken in reverse."""

MOST_CELLS = 2**24
"""Sets times features that are evaluated at once: more than 362 features get fewer orders."""

LEAST_PROBABILITY = 1e-6
"""What counts as 0: its logarithm must be finite."""

MENTIONED = 3
LEAST_MENTIONED = 0.1
MOST_LOG_ODDS = math.log(1e6)
"""A factor of the odds beyond a million is only said to be that."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Contributions to the log-odds of one class against another, by feature in declared order.

    `baseline` (the log-odds of the baseline row) and the contributions add up to the row's log-odds.
    `standard_errors` are those of sampling.
    """

    class_index: int
    against: int
    method: str
    baseline: float
    contributions: list[float]
    standard_errors: list[float] | None = None

    @property
    def log_odds(self) -> float:
        return self.baseline + sum(self.contributions)


class Explainer(Protocol):
    def explain(self, values: Sequence[float], class_index: int, against: int) -> Explanation:
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
        self._baseline = [sum(column) for column in zip(model.intercept, *self._means, strict=True)]

    def explain(self, values: Sequence[float], class_index: int, against: int) -> Explanation:
        contributions = [
            difference(term.contribution(value), class_index, against)
            - difference(mean, class_index, against)
            for term, value, mean in zip(self._terms, values, self._means, strict=True)
        ]
        baseline = difference(self._baseline, class_index, against)
        return Explanation(class_index, against, "exact: the model is additive", baseline, contributions)


def difference(outputs: Outputs, class_index: int, against: int) -> float:
    """Return the log-odds of one class against another; with a single output it is the positive class's."""
    return outputs[0] if len(outputs) == 1 else outputs[class_index] - outputs[against]


def mean_contribution(
    term: NumberTerm | CategoryTerm,
    feature: Feature,
    trained: NumberDistribution | CategoryDistribution,
) -> Outputs:
    """Return the mean contribution of a feature over the training data."""
    if isinstance(trained, CategoryDistribution) and isinstance(feature, CategoryFeature):
        weighted = [
            (share, term.contribution(feature.encoded[name])) for name, share in trained.shares.items()
        ]
    elif isinstance(trained, NumberDistribution):
        weighted = [(1 - trained.missing, term.contribution(trained.mean))]
    weighted.append((trained.missing, term.contribution(math.nan)))
    return [
        math.fsum(share * value for (share, _), value in zip(weighted, column, strict=True))
        for column in zip(*(outputs for _, outputs in weighted), strict=True)
    ]


class ShapleyExplainer:
    """Explains any model by its predictions for mixtures of the row and the baseline."""

    def __init__(self, engine: Engine, features: Sequence[Feature], trained: Distributions) -> None:
        self._engine = engine
        self._baseline = np.array([baseline_value(feature, trained[feature.name]) for feature in features])
        number = len(features)
        self._exact = number <= MOST_FEATURES
        self._taken, self._split = all_sets(number) if self._exact else random_orders(number)

    def explain(self, values: Sequence[float], class_index: int, against: int) -> Explanation:
        mixtures = np.where(self._taken, np.array(values), self._baseline).astype(np.float32)
        probabilities = np.maximum(self._engine.probabilities(mixtures).astype(np.float64), LEAST_PROBABILITY)
        log_odds = np.log(probabilities[:, class_index] / probabilities[:, against])
        baseline = float(log_odds[0])
        each = self._split(log_odds)
        contributions = each.mean(axis=0).tolist()
        if self._exact:
            method = f"Shapley values over all {len(mixtures)} sets of features"
            return Explanation(class_index, against, method, baseline, contributions)
        method = f"Shapley values over {2 * len(each)} random orders of the features"
        errors = (each.std(axis=0, ddof=1) / math.sqrt(len(each))).tolist()
        return Explanation(class_index, against, method, baseline, contributions, errors)


def baseline_value(feature: Feature, trained: NumberDistribution | CategoryDistribution) -> float:
    """Return a feature's value in the baseline row: its mean, or its most frequent category."""
    if isinstance(trained, CategoryDistribution) and isinstance(feature, CategoryFeature):
        return float(feature.encoded[max(trained.shares, key=trained.shares.__getitem__)])
    return trained.mean if isinstance(trained, NumberDistribution) else math.nan


def all_sets(number: int) -> tuple[NDArray[np.bool_], Split]:
    """Return all sets of features [sets, features], the empty one first, and what splits their scores.

    The weight of a set without the feature is the share of orders that begin with that set.
    """
    taken = (np.arange(2**number)[:, None] >> np.arange(number)) & 1 == 1
    sizes = taken.sum(axis=1)
    share = np.array([1 / (number * math.comb(number - 1, size)) for size in range(number)])
    added, lacking = share[np.maximum(sizes - 1, 0)], share[np.minimum(sizes, number - 1)]
    weights = np.where(taken.T, added, -lacking)
    return taken, lambda scores: (weights @ scores)[None]


def random_orders(number: int) -> tuple[NDArray[np.bool_], Split]:
    """Return the sets [sets, features] that arise in random orders, and what splits their scores.

    An order and its reverse form one sample: their errors partly cancel.
    """
    orders = max(2, min(ORDERS, MOST_CELLS // (2 * number**2)))
    random = np.random.default_rng(0)
    indexes: dict[bytes, int] = {}

    def index_of(members: NDArray[np.bool_]) -> int:
        return indexes.setdefault(members.tobytes(), len(indexes))

    steps = np.empty((2, orders, 2, number), dtype=np.intp)  # before and after, orders, there and back
    for order in range(orders):
        drawn = random.permutation(number)
        for way, walk in enumerate((drawn, drawn[::-1])):
            members = np.zeros(number, dtype=np.bool_)
            for feature in walk:
                steps[0, order, way, feature] = index_of(members)
                members[feature] = True
                steps[1, order, way, feature] = index_of(members)
    before, after = steps
    taken = np.array([np.frombuffer(members, dtype=np.bool_) for members in indexes])
    return taken, lambda scores: (scores[after] - scores[before]).mean(axis=1)


def explanation_json(
    explanation: Explanation, declaration: Declaration, values: Sequence[float]
) -> dict[str, Any]:
    """Return the `explanation` of a response."""
    of, against = declaration.labels[explanation.class_index], declaration.labels[explanation.against]
    shown = [_shown(feature, value) for feature, value in zip(declaration.features, values, strict=True)]
    members: list[dict[str, Any]] = [
        {
            "feature": feature.name,
            "value": value,
            "unit": None if isinstance(feature, CategoryFeature) else feature.unit or None,
            "contribution": round(contribution, 6),
        }
        for feature, value, contribution in zip(
            declaration.features, shown, explanation.contributions, strict=True
        )
    ]
    if explanation.standard_errors:
        for member, error in zip(members, explanation.standard_errors, strict=True):
            member["standard_error"] = round(error, 6)
    return {
        "of": of,
        "against": against,
        "method": explanation.method,
        "log_odds": round(explanation.log_odds, 6),
        "baseline": round(explanation.baseline, 6),
        "contributions": members,
        "sentence": _sentence(explanation, declaration, shown),
    }


def _shown(feature: Feature, value: float) -> Value:
    """Return an encoded value as people read it."""
    if math.isnan(value):
        return None
    if isinstance(feature, CategoryFeature):
        return feature.sent(value)
    return int(value) if feature.type == "integer" else value


def _sentence(explanation: Explanation, declaration: Declaration, shown: Sequence[Value]) -> str:
    of, against = declaration.labels[explanation.class_index], declaration.labels[explanation.against]
    subject = of if declaration.binary else f"{of}, if it is that or {against},"
    here, usual = map(_probability, (explanation.log_odds, explanation.baseline))
    sentences = [f"{subject} has a probability of {here:.1%} here, and of {usual:.1%} for the baseline."]
    ranked = sorted(enumerate(explanation.contributions), key=lambda contribution: -abs(contribution[1]))
    for sign, opening in ((1, "Most for it"), (-1, "Most against it")):
        found = [(index, added) for index, added in ranked if sign * added >= LEAST_MENTIONED][:MENTIONED]
        reasons = [
            f"{_value_text(declaration.features[index], shown[index])} (odds x {_factor(added)})"
            for index, added in found
        ]
        if reasons:
            sentences.append(f"{opening}: {'; '.join(reasons)}.")
    return " ".join(sentences)


def _probability(log_odds: float) -> float:
    """Return the probability that log-odds mean; of far values they overflow an exponential."""
    odds = math.exp(-abs(log_odds))
    return 1 / (1 + odds) if log_odds > 0 else odds / (1 + odds)


def _factor(added: float) -> str:
    """Return by how much the odds are multiplied where this is added to their logarithm."""
    if abs(added) > MOST_LOG_ODDS:
        return f"{'more' if added > 0 else 'less'} than {math.exp(math.copysign(MOST_LOG_ODDS, added)):.0e}"
    return f"{math.exp(added):.2g}"


def _value_text(feature: Feature, value: Value) -> str:
    if value is None:
        return f"{feature.description}: unknown"
    unit = f" {feature.unit}" if isinstance(feature, NumberFeature) and feature.unit else ""
    if isinstance(value, bool):
        return f"{feature.description}: {str(value).lower()}"
    written = value if isinstance(value, str) else f"{value:g}"
    return f"{feature.description}: {written}{unit}"
