"""What the documents tell a newcomer to type works as written, and each fact has one source."""

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bundle.concepts import CONCEPTS
from tests.harness import PROJECT, Server, clean_environment, copy_project
from tests.systems import PAGES, System

pytestmark = pytest.mark.heart


def text(document: str) -> str:
    return (PROJECT / document).read_text(encoding="utf-8")


def blocks(document: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text(document), flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project to type commands in, with the environment of this one."""
    copy = copy_project(tmp_path_factory.mktemp("checkout"))
    (copy / ".venv").symlink_to(PROJECT / ".venv")
    return copy


@pytest.fixture(scope="module")
def made(checkout: Path) -> Iterator[Server]:
    server = Server({"DRAIN_SECONDS": "0"}, ["make", "--directory", str(checkout), "run"]).wait_until_ready()
    yield server
    server.process.terminate()
    server.wait()


def typed(server: Server, checkout: Path, block: str) -> str:
    script = block.replace("127.0.0.1:8000", f"127.0.0.1:{server.port}")
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=checkout, env=clean_environment(), capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return result.stdout


QUICKSTART_SAYS = [
    r'"label":"no_disease"',
    r'"label":"disease"',
    r'"sentence":"disease has a probability of 37\.2% here',
    r'(?s)"label":"no_disease".*"label":"no_disease"',
    r'"status":422.*"detail":"\'chol\' must be a whole number from 50 to 1000 \(mg/dl\)\."',
    r'(?s)"status":"healthy".*^predictions_total.*^api_errors_total\{.*"ValidationError"\} 1\.0$',
    r'"name":"heart-disease"',
    r"(?s)wrote models/heart-disease/v1.*wrote models/heart-disease/CARD\.md",
]


def test_quickstart_works_as_written(made: Server, checkout: Path) -> None:
    typed_blocks = blocks("QUICKSTART.md", "sh")
    assert blocks("QUICKSTART.md", "console")[0] == "make run\n"
    assert len(typed_blocks) == len(QUICKSTART_SAYS)
    for block, expected in zip(typed_blocks, QUICKSTART_SAYS, strict=True):
        said = typed(made, checkout, block)
        assert re.search(expected, said, flags=re.MULTILINE), said


def test_the_first_curl_of_the_readme_answers_as_written(made: Server, checkout: Path) -> None:
    said = json.loads(typed(made, checkout, blocks("README.md", "sh")[0]))
    written = json.loads(blocks("README.md", "json")[0])
    assert said | {"request_id": "..."} == written


def test_the_readme_is_short_and_its_links_lead_somewhere() -> None:
    assert len(text("README.md").splitlines()) <= 150
    for document in ("README.md", "QUICKSTART.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"):
        for link in re.findall(r"\]\(([^)#]+)\)", text(document)):
            assert link.startswith("https://") or (PROJECT / link).exists(), (document, link)


def test_make_lists_its_verbs() -> None:
    said = subprocess.run(["make"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    assert {"run", "test", "lint", "train", "bench"} <= {line.split()[1] for line in said.splitlines()}


def test_every_concept_is_documented() -> None:
    concepts = text("docs/metrics.md").partition("## What all")[0]
    assert re.findall(r"^\| (\w+) \| (?:counter|gauge|histogram)", concepts, flags=re.MULTILINE) == [
        concept.name for concept in CONCEPTS
    ]


@pytest.mark.parametrize("name", PAGES)
def test_every_systems_vocabulary_is_documented(name: str) -> None:
    section = re.split(r"^##+ ", text("docs/metrics.md").partition(f"### {name}\n")[2], flags=re.MULTILINE)[0]
    documented = {
        concept: (
            metric,
            {label: dimension or label for label, dimension in re.findall(r"`(\w+)`(?:: (\w+))?", labels)},
        )
        for concept, metric, labels in re.findall(
            r"^\| (\w+) \| `(\w+)` \| (.*) \|$", section, flags=re.MULTILINE
        )
    }
    declared = System(name).declaration.metrics
    assert documented == {concept: (named.name, named.labels) for concept, named in declared.items()}


def test_every_documented_query_reads_metrics_that_exist(server: Server) -> None:
    names = {name for name, _ in server.metrics()}
    queries = blocks("docs/metrics.md", "promql")[0].splitlines()
    assert len(queries) == 7
    for query in queries:
        assert set(re.findall(r"(\w+)[\[{]", query)) <= names, query


def test_locks_name_no_address_and_every_package_has_hashes() -> None:
    for lock in ("serve", "train", "dev", "mlflow"):
        content = text(f"requirements/{lock}.txt")
        assert "://" not in content
        packages = re.findall(r"^[a-z0-9].*?(?=^[a-z0-9]|\Z)", content, flags=re.MULTILINE | re.DOTALL)
        assert len(packages) > 20
        assert not [package for package in packages if "--hash=sha256:" not in package]


def test_the_server_locks_nothing_that_only_training_needs() -> None:
    locked = set(re.findall(r"^([a-z0-9-]+)==", text("requirements/serve.txt"), flags=re.MULTILINE))
    assert "onnxruntime" in locked
    assert not locked & {"scikit-learn", "scipy", "pandas", "joblib", "skl2onnx"}
