"""How the iris model is made from its data."""

from pathlib import Path

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from bundle.declaration import Declaration
from training.table import Rows, read_table


def load_data(path: Path, declaration: Declaration) -> tuple[Rows, list[str]]:
    """Return the rows as clients send them, and the species of each."""
    return read_table(path, declaration)


def build_pipeline(estimator: str, declaration: Declaration) -> Pipeline:  # noqa: ARG001
    """Return the unfitted pipeline, from the encoder's matrix to probabilities."""
    estimators = {"logistic_regression": LogisticRegression(max_iter=1000)}
    return make_pipeline(StandardScaler(), estimators[estimator])
