"""How the fraud model is made, its payments included: they are synthetic."""

from pathlib import Path

import numpy as np
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.pipeline import Pipeline

from bundle.declaration import Declaration
from training.table import Rows, read_table

PAYMENTS = 10_000
SEED = 20


def load_data(path: Path, declaration: Declaration) -> tuple[Rows, list[str]]:
    """Return payments of a table, and what each turned out to be: for retraining, where none are drawn."""
    return read_table(path, declaration)


def generate_data(declaration: Declaration) -> tuple[Rows, list[str]]:
    """Draw payments, and whether each is fraudulent, from log-odds that rise with every sign of it."""
    random = np.random.default_rng(SEED)
    amount = np.round(random.lognormal(3.6, 1.1, PAYMENTS), 2)
    by_hour = np.array([2, 1, 1, 1, 1, 2, 4, 7, 9, 9, 9, 10, 11, 10, 9, 9, 10, 11, 11, 9, 7, 5, 4, 3])
    hour = random.choice(24, PAYMENTS, p=by_hour / by_hour.sum())
    distance = np.round(np.minimum(random.lognormal(1.5, 1.6, PAYMENTS), 15_000), 1)
    risk = np.round(random.beta(1.5, 5, PAYMENTS), 2)
    previous = random.poisson(random.gamma(1.5, 1.5, PAYMENTS))
    present = random.random(PAYMENTS) < 0.6  # noqa: PLR2004
    night = (hour < 6).astype(np.float64)  # noqa: PLR2004
    log_odds = (
        -11.8
        + 0.7 * np.log1p(amount)
        + 2.0 * night
        + 1.0 * np.log1p(distance)
        + 6.0 * risk
        + 0.5 * previous
        - 2.0 * present
    )
    fraudulent = random.random(PAYMENTS) < 1 / (1 + np.exp(-log_odds))
    columns = zip(
        amount.tolist(), hour.tolist(), distance.tolist(), risk.tolist(), previous.tolist(), present.tolist(),
        strict=True,
    )  # fmt: skip
    rows: Rows = [
        dict(zip(declaration.feature_names, (*numbers, int(here)), strict=True)) for *numbers, here in columns
    ]
    return rows, np.where(fraudulent, "fraud_detected", "legitimate").tolist()


def build_pipeline(estimator: str, declaration: Declaration) -> Pipeline:  # noqa: ARG001
    """Return the unfitted pipeline, from the encoder's matrix to probabilities."""
    estimators = {
        "gradient_boosting": GradientBoostingClassifier(
            n_estimators=80,
            learning_rate=0.05,
            max_depth=3,
            min_samples_leaf=30,
            subsample=0.8,
            random_state=0,
        )
    }
    return Pipeline([("estimator", estimators[estimator])])
