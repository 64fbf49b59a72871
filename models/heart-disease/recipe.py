"""How the heart-disease model is made from its data."""

from pathlib import Path

from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from bundle.declaration import Declaration
from training.table import Rows, read_table

QUANTITIES = ["age", "trestbps", "chol", "thalach", "oldpeak", "ca"]


def load_data(path: Path, declaration: Declaration) -> tuple[Rows, list[str]]:
    """Return the rows as clients send them, and whether each has a narrowing over 50 %."""
    return read_table(path, declaration)


def build_pipeline(estimator: str, declaration: Declaration) -> Pipeline:
    """Return the unfitted pipeline, from the encoder's matrix to probabilities.

    `ca` enters as a number: one-hot, the risk would fall from two to three vessels on these few rows.
    """
    estimators = {"logistic_regression": LogisticRegression(C=0.1, max_iter=1000)}
    names = declaration.feature_names
    quantities = [names.index(name) for name in QUANTITIES]
    categories = [index for index in range(len(names)) if index not in quantities]
    columns = ColumnTransformer(
        [
            ("quantities", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), quantities),
            (
                "categories",
                make_pipeline(
                    SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")
                ),
                categories,
            ),
        ],
    )
    return Pipeline([("columns", columns), ("estimator", estimators[estimator])])
