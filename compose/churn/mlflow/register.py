"""Logs a run for each version of a model and registers its bundle: `make register MODEL=churn`.

Run in the image of the MLflow server, with the model's folder at /model. A bundle that is already registered,
by the sha256 in its bundle.json, is skipped.
"""

import os
import sys
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from bundle.declaration import Declaration, load_declaration
from bundle.errors import BundleError, printable
from bundle.manifest import Manifest, check_inspected, load_manifest, read_files
from registry.address import without_userinfo
from registry.mlflow import MlflowServer

TAG = "bundle_sha256"


def main(folder: Path) -> None:
    declaration = load_declaration(folder)
    client = MlflowClient()
    mlflow.set_experiment(declaration.name)
    if not client.search_registered_models(f"name = '{declaration.name}'"):
        client.create_registered_model(declaration.name, description=declaration.description)
    registered = client.search_model_versions(f"name = '{declaration.name}'")
    numbers = {version.tags.get(TAG): version.version for version in registered}
    for version in declaration.versions:
        manifest = load_manifest(folder / version, declaration)
        read_files(folder / version, manifest)
        check_inspected(folder / version, manifest)
        number = numbers.get(manifest.sha256) or register(client, folder, declaration, manifest)
        again = " already" if manifest.sha256 in numbers else ""
        print(f"{declaration.name} {version} is{again} registered as models:/{declaration.name}/{number}")


def register(client: MlflowClient, folder: Path, declaration: Declaration, manifest: Manifest) -> str:
    """Log parameters, metrics with their bounds, and the bundle; return the number of the version."""
    with mlflow.start_run(run_name=f"{manifest.model} {manifest.version}") as run:
        mlflow.log_params(
            {
                "estimator": manifest.estimator.type,
                "rows": manifest.data.rows,
                "data_sha256": manifest.data.sha256,
            }
            | manifest.libraries
        )
        for name, estimate in manifest.evaluation.metrics.items():
            bounds = {f"{name}_lower": estimate.lower, f"{name}_upper": estimate.upper}
            mlflow.log_metrics({name: estimate.value} | bounds)
        mlflow.log_artifact(str(folder / "model.toml"), "bundle")
        mlflow.log_artifacts(str(folder / manifest.version), f"bundle/{manifest.version}")
        mlflow.log_artifact(str(folder / "CARD.md"))
        registered = client.create_model_version(
            declaration.name,
            source=mlflow.get_artifact_uri("bundle"),
            run_id=run.info.run_id,
            tags={TAG: manifest.sha256, "version": manifest.version},
        )
    return str(registered.version)


if __name__ == "__main__":
    try:
        MlflowServer(os.environ.get("MLFLOW_TRACKING_URI", ""))  # refuses what MLflow's client would repeat
        main(Path(sys.argv[1]))
    except (BundleError, MlflowException) as error:
        sys.exit(f"error: {printable(without_userinfo(str(error)))}")
