"""What the chart renders, held to the API server: by its own schemas, and by itself."""

from pathlib import Path

import pytest
import yaml

from tests.cluster.conftest import kubectl
from tests.cluster.schemas import write_schemas
from tests.harness import CHART, run
from tests.programs.test_chart import CI_VALUES, rendered, template


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_schemas(tmp_path_factory.mktemp("schemas"))


@CI_VALUES
def test_every_ci_values_file_is_linted_and_fits_the_clusters_schemas(
    values: Path, schemas: str, tmp_path: Path
) -> None:
    run("helm", "lint", "--strict", CHART, "--values", values)
    file = tmp_path / "rendered.yaml"
    options = ["--values", str(values), "--set", "service.nodePort=null"]
    file.write_text(rendered(*options), encoding="utf-8")
    run("kubeconform", "-strict", "-summary", "-schema-location", schemas, file)
    kubectl("apply", "--dry-run=server", "--validate=strict", "--filename", str(file))


def test_kubeconform_rejects_an_unknown_field(schemas: str, tmp_path: Path) -> None:
    (service,) = [found for found in template() if found["kind"] == "Service"]
    service["spec"]["typo"] = True
    file = tmp_path / "service.yaml"
    file.write_text(yaml.safe_dump(service), encoding="utf-8")
    result = run("kubeconform", "-strict", "-schema-location", schemas, file, check=False)
    assert "additional properties 'typo' not allowed" in result.stdout
