"""The bill of materials: valid by CycloneDX's schema, complete, and the same bytes for the same content."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.utils import canonicalize_name

from tests.harness import PROJECT
from tools.sbom.base import base_component
from tools.sbom.errors import SbomError
from tools.sbom.lock import Locked, read_lock
from tools.sbom.packages import check_complete

ENVIRONMENT = Path(str(distribution("fastapi").locate_file(""))).parents[2]
MODELS = PROJECT / "models"


def written(output: Path, project: Path = PROJECT, seed: str = "0") -> subprocess.CompletedProcess[str]:
    options = [f"--project={project}", f"--environment={ENVIRONMENT}", f"--output={output}"]
    command = [sys.executable, "-m", "tools.sbom", *options]
    settings = os.environ | {"PYTHONHASHSEED": seed}
    return subprocess.run(command, cwd=PROJECT, env=settings, check=False, capture_output=True, text=True)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    output = tmp_path_factory.mktemp("sbom") / "sbom.cdx.json"
    assert written(output).returncode == 0
    return output.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def components(text: str) -> dict[str, dict[str, Any]]:
    return {component["bom-ref"]: component for component in json.loads(text)["components"]}


def test_it_is_valid_by_the_official_schema(text: str) -> None:
    errors = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text, all_errors=True)
    assert [str(error) for error in errors or []] == []


def test_the_validator_sees_a_model_card_that_is_wrong(text: str) -> None:
    wrong = text.replace('"approach"', '"way"', 1)
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(wrong) is not None


def test_every_distribution_of_the_lock_is_listed_with_its_files_and_its_licence(
    components: dict[str, dict[str, Any]],
) -> None:
    listed = {found["name"]: found for found in components.values() if "pypi" in found.get("purl", "")}
    lock = read_lock(PROJECT / "requirements" / "serve.txt")
    assert set(listed) == {entry.name for entry in lock}
    for entry in lock:
        component = listed[entry.name]
        assert component["version"] == entry.version == distribution(entry.name).version
        (files,) = component["externalReferences"]
        assert {found["content"] for found in files["hashes"]} == set(entry.hashes)
        assert component["licenses"]


def test_the_lock_is_read_as_pip_reads_it() -> None:
    text = (PROJECT / "requirements" / "serve.txt").read_text(encoding="utf-8")
    entries = {entry.name: entry for entry in read_lock(PROJECT / "requirements" / "serve.txt")}
    assert ("tzdata" in entries) == (sys.platform == "win32")
    assert sum(len(entry.hashes) for entry in entries.values()) >= text.count("--hash=sha256:") - 2
    assert all(name == canonicalize_name(name) for name in entries)


def test_each_bundle_is_a_model_once_with_its_card(components: dict[str, dict[str, Any]]) -> None:
    models = [found for found in components.values() if found["type"] == "machine-learning-model"]
    manifests = [json.loads(path.read_bytes()) for path in sorted(MODELS.glob("*/v*/bundle.json"))]
    assert [(m["name"], m["version"]) for m in models] == [(m["model"], m["version"]) for m in manifests]
    for model, manifest in zip(models, manifests, strict=True):
        assert [found["content"] for found in model["hashes"]] == [manifest["sha256"]]
        files = {part["name"]: part["hashes"][0]["content"] for part in model["components"]}
        assert files == manifest["files"]
        card = model["modelCard"]
        (dataset,) = card["modelParameters"]["datasets"]
        assert components[dataset["ref"]]["hashes"][0]["content"] == manifest["data"]["sha256"]
        metrics = {
            metric["type"]: float(metric["value"])
            for metric in card["quantitativeAnalysis"]["performanceMetrics"]
            if "slice" not in metric
        }
        expected = {name: metric["value"] for name, metric in manifest["evaluation"]["metrics"].items()}
        assert metrics == pytest.approx(expected)
        assert card["considerations"]["technicalLimitations"]


def test_versions_trained_on_the_same_rows_share_their_data(components: dict[str, dict[str, Any]]) -> None:
    kinds = Counter(found["name"] for found in components.values() if found["type"] == "data")
    assert kinds == Counter(f"training data of {path.parent.name}" for path in MODELS.glob("*/model.toml"))


def test_every_component_is_reached_from_the_application(text: str) -> None:
    content = json.loads(text)
    needs = {entry["ref"]: entry.get("dependsOn", []) for entry in content["dependencies"]}
    reached, waiting = set(), [content["metadata"]["component"]["bom-ref"]]
    while waiting:
        reference = waiting.pop()
        if reference not in reached:
            reached.add(reference)
            waiting += needs[reference]
    assert {component["bom-ref"] for component in content["components"]} <= reached
    assert "pkg:pypi/starlette" in " ".join(needs[next(ref for ref in needs if "/fastapi@" in ref)])


def test_the_same_content_gives_the_same_bytes(text: str, tmp_path: Path) -> None:
    output = tmp_path / "again.json"
    assert written(output, seed="1").returncode == 0
    assert output.read_text(encoding="utf-8") == text
    assert "timestamp" not in text


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("models/iris", "requirements"):
        shutil.copytree(PROJECT / name, tmp_path / name)
    shutil.copy(PROJECT / "pyproject.toml", tmp_path)
    return tmp_path


def test_another_model_gives_another_serial_number(text: str, checkout: Path) -> None:
    output = checkout / "sbom.cdx.json"
    assert written(output, checkout).returncode == 0
    assert json.loads(output.read_text())["serialNumber"] != json.loads(text)["serialNumber"]


def test_what_is_installed_otherwise_than_locked_is_said_in_a_sentence(checkout: Path) -> None:
    lock = checkout / "requirements" / "serve.txt"
    lock.write_text(lock.read_text().replace("fastapi==", "fastapi==1"))
    result = written(checkout / "sbom.cdx.json", checkout)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("error: fastapi is ")
    assert "install the lock anew" in result.stderr


def test_a_folder_without_models_is_said_in_a_sentence(checkout: Path) -> None:
    shutil.rmtree(checkout / "models" / "iris" / "v1")
    result = written(checkout / "sbom.cdx.json", checkout)
    assert "has no model with a bundle.json; train one" in result.stderr


def test_what_no_lock_names_stops_the_list() -> None:
    lock = [Locked("fastapi", "1.0", ())]
    check_complete(["fastapi"], lock)
    with pytest.raises(SbomError, match=r"^pip, sklearn: installed, and in no lock"):
        check_complete(["sklearn", "fastapi", "pip"], lock)


@pytest.mark.parametrize(
    ("image", "purl"),
    [
        (f"python:3.13-slim@sha256:{64 * 'a'}", f"pkg:oci/python@sha256:{64 * 'a'}?tag=3.13-slim"),
        ("python:3.13-slim", "pkg:oci/python@3.13-slim?tag=3.13-slim"),
        (f"mirror.example:5000/library/python@sha256:{64 * 'b'}", f"pkg:oci/python@sha256:{64 * 'b'}"),
    ],
)
def test_the_base_is_named_by_its_digest(image: str, purl: str) -> None:
    component = base_component(image)
    assert str(component.purl).replace("%3A", ":") == purl
    assert [found.content for found in component.hashes] == ([image[-64:]] if "@" in image else [])
