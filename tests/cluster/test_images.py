"""The two images of the Dockerfile, built by buildah on Debian's Python 3.13."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.harness import PROJECT, run


@pytest.fixture
def server() -> Iterator[str]:
    """A container of the server's image that `make test-cluster` has built."""
    container = run("buildah", "from", "--pull-never", "heart-disease-api:latest").stdout.strip()
    yield container
    run("buildah", "rm", container)


@pytest.fixture
def trainer() -> Iterator[str]:
    name = "heart-disease-api:train"
    options = ["--pull-never", "--layers", "--build-arg=PYTHON_IMAGE", "--target=train"]
    run("buildah", "build", *options, f"--tag={name}", ".")
    container = run("buildah", "from", "--pull-never", name).stdout.strip()
    yield container
    run("buildah", "rm", container)


def test_the_server_has_no_compiler_no_installer_and_nothing_of_training(server: str) -> None:
    found = 'print([name for name in ("sklearn", "skl2onnx", "pip", "training") if find_spec(name)])'
    python = f"from importlib.util import find_spec; {found}"
    assert run("buildah", "run", server, "--", "python", "-c", python).stdout.strip() == "[]"
    assert run("buildah", "run", server, "--", "which", "gcc", "cc", check=False).stdout == ""


def test_the_server_has_the_files_of_bundles_and_no_data(server: str) -> None:
    listed = run("buildah", "run", server, "--", "find", "/app/models", "-type", "f").stdout.split()
    expected = set()
    for manifest in (PROJECT / "models").glob("*/v*/bundle.json"):
        files = json.loads(manifest.read_text(encoding="utf-8"))["files"]
        paths = [manifest, manifest.parent.parent / "model.toml", *(manifest.parent / name for name in files)]
        expected |= {f"/app/{path.relative_to(PROJECT)}" for path in paths}
    assert set(listed) == expected


LISTED = """
import json
from importlib.metadata import distributions
print(json.dumps({found.name.lower().replace("_", "-"): found.version for found in distributions()}))
"""


def test_the_server_carries_its_bill_of_materials_which_names_everything_in_it(server: str) -> None:
    text = run("buildah", "run", server, "--", "cat", "/app/sbom.cdx.json").stdout
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    components = json.loads(text)["components"]
    python = json.loads(run("buildah", "run", server, "--", "python", "-c", LISTED).stdout)
    assert versions(components, "pkg:pypi/") == python
    fields = "${db:Status-Abbrev} ${Package} ${Version}\n"
    debian = run("buildah", "run", server, "--", "dpkg-query", "--show", f"--showformat={fields}").stdout
    rows = [line.split() for line in debian.splitlines()]
    assert versions(components, "pkg:deb/debian/") == {name: version for _, name, version in rows}
    models = [(found["name"], found["version"]) for found in components if "modelCard" in found]
    folders = [path.parent for path in sorted((PROJECT / "models").glob("*/v*/bundle.json"))]
    assert models == [(folder.parent.name, folder.name) for folder in folders]
    (base,) = [found for found in components if found["type"] == "container"]
    assert base["purl"].startswith("pkg:oci/python@")


def versions(components: list[dict[str, str]], kind: str) -> dict[str, str]:
    """Return the version of each component of a kind, none of which is there twice."""
    found = [component for component in components if component.get("purl", "").startswith(kind)]
    by_name = {component["name"]: component["version"] for component in found}
    assert len(by_name) == len(found)
    return by_name


def test_the_server_has_the_runbooks_and_the_panels(server: str) -> None:
    found = run(
        "buildah", "run", server, "--", "find", "/app/monitoring", "-type", "f", "-not", "-name", "*.pyc"
    )
    monitoring = PROJECT / "monitoring"
    needed = [*(monitoring / "runbooks").rglob("*.*"), *(monitoring / "panels").glob("*.py")]
    assert set(found.stdout.split()) == {f"/app/{path.relative_to(PROJECT)}" for path in needed}


def test_the_server_runs_unprivileged_and_in_exec_form(server: str) -> None:
    config = json.loads(run("buildah", "inspect", server).stdout)["OCIv1"]["config"]
    assert config["User"] == "10001:10001"
    assert config["Cmd"] == ["python", "api_server.py"]
    assert config["Labels"]["org.opencontainers.image.title"] == "heart-disease-api"


def test_the_trainer_writes_a_bundle(trainer: str, tmp_path: Path) -> None:
    models = tmp_path / "models"
    shutil.copytree(PROJECT / "models", models)
    served = models / "heart-disease" / "v1" / "model.onnx"
    served.unlink()
    options = [f"--user={os.getuid()}", f"--volume={models}:/app/models"]
    said = run("buildah", "run", *options, trainer, "--", "python", "-m", "training").stdout
    assert "ONNX against scikit-learn" in said
    assert served.exists()
