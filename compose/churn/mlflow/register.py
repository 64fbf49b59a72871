"""Logs a run for each version of a model and registers its bundle: `make register MODEL=churn`.

Run in the image of the MLflow server, with the model's folder at /model. A bundle that is registered
already, told by the sha256 of its bundle.json, is left as it is.
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
    there = {
        it.tags.get(TAG): it.version for it in client.search_model_versions(f"name = '{declaration.name}'")
    }
    for version in declaration.versions:
        manifest = load_manifest(folder / version, declaration)
        read_files(folder / version, manifest)
        check_inspected(folder / version, manifest)
        number = there.get(manifest.sha256) or register(client, folder, declaration, manifest)
        again = " already" if manifest.sha256 in there else ""
        print(f"{declaration.name} {version} is{again} registered as models:/{declaration.name}/{number}")


def register(client: MlflowClient, folder: Path, declaration: Declaration, manifest: Manifest) -> str:
    """Log parameters, figures with intervals, and the bundle; return the registered version's number."""
    with mlflow.start_run(run_name=f"{manifest.model} {manifest.version}") as run:
        mlflow.log_params(
            {
                "estimator": manifest.estimator.type,
                "rows": manifest.data.rows,
                "data_sha256": manifest.data.sha256,
            }
            | manifest.libraries
        )
        for name, figure in manifest.evaluation.figures.items():
            mlflow.log_metrics({name: figure.value, f"{name}_low": figure.low, f"{name}_high": figure.high})
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
