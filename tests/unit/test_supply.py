"""What is built from is named by its content, and by one version: actions, images, packages, Go modules."""

import re
from collections import defaultdict
from pathlib import Path

import pytest
import yaml

from tests.harness import PROJECT
from tools.base_image import DOCKERFILES, pinned
from tools.cluster.build import MODULES
from tools.lines import tracked_files

WORKFLOWS = sorted((PROJECT / ".github" / "workflows").glob("*.yml"))
DOWNLOADED = re.compile(r"\b((?:prom|grafana|rancher|coredns|metrics-server)/[a-z-]+):(v?\d+\.\d[\w.-]*)")
NO_PIN = {"CHANGELOG.md", "tests/unit/test_supply.py"}
FROM_DEBIAN = {
    "--yes --no-install-recommends libgomp1 "
}  # which LightGBM needs, in the image that trains with it
FOREIGN_CODE = re.compile(r"\b(curl|wget)\b[^\n]*\|\s*(ba)?sh\b|pip install (?!.*--require-hashes)")
REQUIRED = re.compile(r"^\t(\S+) (v\S+)(?: // indirect)?$", re.MULTILINE)
REPLACED = re.compile(r"(\S+) => (\S+)(?: (v\S+))?$", re.MULTILINE)


def text_of(name: str) -> str:
    return (PROJECT / name).read_text(encoding="utf-8", errors="replace")


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit_with_their_version_beside_it(workflow: Path) -> None:
    used = re.findall(r"uses: *(.+)", workflow.read_text(encoding="utf-8"))
    assert used
    for action in used:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action), action


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_may_only_read_and_run_on_a_named_system(workflow: Path) -> None:
    content = yaml.safe_load(workflow.read_text(encoding="utf-8"))
    assert content["permissions"] == {}
    for job in content["jobs"].values():
        assert set(job["permissions"].values()) <= {"read"}
        assert not job["runs-on"].endswith("latest")
        assert job["timeout-minutes"] <= 45


def test_every_dockerfile_starts_from_the_same_digest() -> None:
    dockerfiles = sorted(name for name in tracked_files() if Path(name).name.startswith("Dockerfile"))
    assert dockerfiles == sorted(DOCKERFILES)
    (image,) = set(pinned(PROJECT).values())
    assert re.fullmatch(r"python:3\.13-slim@sha256:[0-9a-f]{64}", image)
    for name in dockerfiles:
        stages = re.findall(r"^FROM (\S+)(?: AS (\S+))?$", text_of(name), flags=re.MULTILINE)
        own = {stage for _, stage in stages}
        assert {source for source, _ in stages} <= own | {"${PYTHON_IMAGE}"}


def test_dockerfiles_install_by_hash_and_nothing_that_they_download() -> None:
    for name in DOCKERFILES:
        assert not FOREIGN_CODE.search(text_of(name).replace("\\\n", " "))
        assert "ADD " not in text_of(name)
        assert set(re.findall(r"apt(?:-get)? install ([^&;|\n]*)", text_of(name))) <= FROM_DEBIAN


def test_an_image_has_one_version_wherever_it_is_named() -> None:
    versions = defaultdict(set)
    for name in tracked_files():
        if name not in NO_PIN and not name.endswith((".png", ".onnx", ".joblib")):
            for image, version in DOWNLOADED.findall(text_of(name)):
                versions[image].add(version)
    assert {"prom/prometheus", "prom/alertmanager", "prom/blackbox-exporter", "grafana/grafana"} <= set(
        versions
    )
    assert {image: found for image, found in versions.items() if len(found) > 1} == {}


def test_every_requirement_is_locked_with_a_hash() -> None:
    for path in sorted((PROJECT / "requirements").glob("*.txt")):
        lines = path.read_text(encoding="utf-8").replace("\\\n", " ").splitlines()
        entries = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
        assert entries
        assert "://" not in path.read_text(encoding="utf-8")
        assert [line for line in entries if "==" not in line or "--hash=sha256:" not in line] == []
        assert path.with_suffix(".in").exists()


@pytest.mark.parametrize("module", [*MODULES, "crds"])
def test_go_modules_are_versions_with_their_sums(module: str) -> None:
    folder = PROJECT / "tools" / module
    modules = (folder / "go.mod").read_text(encoding="utf-8")
    assert re.search(r"^go 1\.\d+(\.\d+)?$", modules, flags=re.MULTILINE)
    replaced = {name: (source, version) for name, source, version in REPLACED.findall(modules)}
    used = [replaced.get(name, (name, version)) for name, version in REQUIRED.findall(modules)]
    sums = (folder / "go.sum").read_text(encoding="utf-8") if used else ""
    assert used or "require" not in modules
    assert [found for found in used if f"{found[0]} {found[1]}/go.mod h1:" not in sums] == []


def test_every_module_that_is_there_is_built() -> None:
    folders = {path.parent.name for path in (PROJECT / "tools").glob("*/go.mod")}
    assert folders == {*MODULES, "crds"}
