"""Makes the probe rows, which a model predicts at every start and every probe.

They are made up from the declaration and the reference distribution: a bundle holds no row of the data.
Together they show each category, each missing value and the trained range of each number.
"""

import numpy as np
from sklearn.pipeline import Pipeline

from bundle.declaration import Declaration
from bundle.distributions import CategoryDistribution, Distributions, NumberDistribution
from bundle.encoding import Encoder
from bundle.features import CategoryFeature, Feature
from bundle.manifest import Probe

LEAST_ROWS = 8
SIGNIFICANT_DIGITS = 6

Value = int | float | str | None


def make_probes(declaration: Declaration, distribution: Distributions, pipeline: Pipeline) -> list[Probe]:
    """Return rows as clients send them, with the probabilities that the fitted pipeline gives.

    They reveal a code that was changed in model.toml after training, before the model is served.
    """
    columns = {
        feature.name: probe_values(feature, distribution[feature.name]) for feature in declaration.features
    }
    number = max(LEAST_ROWS, *(len(values) for values in columns.values()))
    random = np.random.default_rng(0)
    places = {name: random.permutation(number) for name in columns}
    rows = [
        {name: values[places[name][row] % len(values)] for name, values in columns.items()}
        for row in range(number)
    ]
    expected = pipeline.predict_proba(Encoder(declaration).encode(rows))
    return [
        Probe(row=row, probabilities=[round(float(p), 9) for p in probabilities])
        for row, probabilities in zip(rows, expected, strict=True)
    ]


def probe_values(feature: Feature, distribution: NumberDistribution | CategoryDistribution) -> list[Value]:
    """Return the values of a feature in probes: all categories, or the range of a number in equal steps."""
    missing: list[Value] = [None] if feature.nullable else []
    if isinstance(feature, CategoryFeature) or isinstance(distribution, CategoryDistribution):
        known = map(feature.sent, feature.encoded.values()) if isinstance(feature, CategoryFeature) else ()
        return [*known, *missing]
    low, high = distribution.minimum, distribution.maximum
    steps = np.linspace(low, high, LEAST_ROWS - len(missing)).tolist()
    if feature.type == "integer":
        return [*dict.fromkeys(map(round, steps)), *missing]
    rounded = [min(max(float(f"{step:.{SIGNIFICANT_DIGITS}g}"), low), high) for step in steps]
    return [*rounded, *missing]
