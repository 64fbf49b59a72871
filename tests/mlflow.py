"""What tests do with a real MLflow server."""

from urllib.parse import urlsplit

import requests

from tests.harness import HEART


def log_few_rows(uri: str) -> str:
    """Log fifty rows of the heart's data with a new run, and return where they are: runs:/RUN/PATH."""
    rows = (HEART / "data.csv").read_bytes().splitlines(keepends=True)[:51]
    api = f"{uri}/api/2.0"
    body = {"experiment_id": "0", "run_name": "rows"}
    run = requests.post(f"{api}/mlflow/runs/create", json=body, timeout=10).json()["run"]["info"]
    place = urlsplit(run["artifact_uri"]).path.strip("/")
    stored = f"{api}/mlflow-artifacts/artifacts/{place}/tables/rows.csv"
    requests.put(stored, data=b"".join(rows), timeout=10).raise_for_status()
    return f"runs:/{run['run_id']}/tables/rows.csv"


TOO_FEW = "refused: too few rows: 20 of 'disease' where 130 are needed, 10 for each feature"
"""What retraining says of these rows."""
