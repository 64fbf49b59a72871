"""How the two churn models are made from the Telco table."""

from pathlib import Path

from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from bundle.declaration import Declaration
from bundle.features import NumberFeature
from training.table import Rows, read_table


def load_data(path: Path, declaration: Declaration) -> tuple[Rows, list[str]]:
    """Return the rows as clients send them, and whether each customer left."""
    return read_table(path, declaration)


def build_pipeline(estimator: str, declaration: Declaration) -> Pipeline:
    """Return the unfitted pipeline, from the encoder's matrix to probabilities.

    The total is blank for the eleven customers in their first month, who have paid nothing yet. Trees get
    quantities as they are: ONNX scales in float32, and a value close to a split would fall on its other side.
    """
    estimators = {
        "logistic_regression": LogisticRegression(C=1.0, max_iter=1000),
        "gradient_boosting": GradientBoostingClassifier(
            n_estimators=150, learning_rate=0.05, max_depth=3, subsample=0.8, random_state=0
        ),
    }
    quantities = [i for i, feature in enumerate(declaration.features) if isinstance(feature, NumberFeature)]
    categories = [i for i in range(len(declaration.features)) if i not in quantities]
    filled = SimpleImputer(strategy="constant", fill_value=0.0)
    scaled = make_pipeline(filled, StandardScaler())
    linear = estimator == "logistic_regression"
    columns = ColumnTransformer(
        [
            ("quantities", scaled if linear else filled, quantities),
            ("categories", OneHotEncoder(handle_unknown="ignore") if linear else "passthrough", categories),
        ]
    )
    return Pipeline([("columns", columns), ("estimator", estimators[estimator])])
