"""Imports go one way, the server stays light, and it knows no model by name."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import PROJECT, clean_environment

# package -> what of the project it may import
ALLOWED = {
    "bundle": {"bundle"},
    "serving": {"bundle", "serving"},
    "training": {"bundle", "training"},
    "models": {"bundle", "training"},
    "api_server.py": {"serving"},
}

# module of serving -> modules of serving it must not import, in the order of a request's way
FORBIDDEN_IN_SERVING = {
    "engine": {"app", "middleware", "routes", "schemas", "catalogue", "metrics", "errors", "logs", "watched"},
    "catalogue": {"app", "middleware", "routes", "schemas", "metrics", "errors", "watched"},
    "schemas": {"app", "middleware", "routes", "metrics", "watched"},
    "routes": {"app"},
    "middleware": {"app", "routes", "schemas", "catalogue", "engine"},
}

MEASURING = {
    "serving/app.py",
    "serving/counts.py",
    "serving/faults.py",
    "serving/metrics.py",
    "serving/retraining.py",
    "serving/routes/metrics.py",
    "serving/server.py",
}


def imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} imports relatively"
            yield node.module or ""


def sources(package: str) -> list[Path]:
    path = PROJECT / package
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_go_one_way(package: str) -> None:
    ours = {"bundle", "serving", "training", "models", "api_server", "tests", "bench"}
    for file in sources(package):
        imported = {name.partition(".")[0] for name in imports(file)} & ours
        assert imported <= ALLOWED[package], file


@pytest.mark.parametrize("module", FORBIDDEN_IN_SERVING)
def test_a_request_goes_one_way_through_serving(module: str) -> None:
    for file in sources(f"serving/{module}") or sources(f"serving/{module}.py"):
        imported = {name.split(".")[1] for name in imports(file) if name.startswith("serving.")}
        assert not imported & FORBIDDEN_IN_SERVING[module], file


def test_only_measuring_modules_touch_prometheus() -> None:
    touching = {
        str(file.relative_to(PROJECT))
        for file in sources("serving")
        if any(name.startswith("prometheus_client") for name in imports(file))
    }
    assert touching <= MEASURING


@pytest.mark.parametrize(("model", "needs_runtime"), [("heart-disease", False), ("fraud", True)])
def test_the_server_process_imports_nothing_of_training(model: str, needs_runtime: bool) -> None:
    program = "import sys, api_server; api_server.app; print(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=PROJECT,
        env=clean_environment(MODEL=model),
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = {name.partition(".")[0] for name in result.stdout.splitlines()[-1].split()}
    assert ("onnxruntime" in loaded) is needs_runtime
    assert not loaded & {"sklearn", "scipy", "pandas", "joblib", "skl2onnx", "onnx", "training"}


def test_serving_knows_no_model_by_name() -> None:
    names = [folder.name for folder in (PROJECT / "models").iterdir() if folder.is_dir()]
    for file in sources("serving"):
        text = file.read_text(encoding="utf-8").replace(
            'model: Annotated[tuple[str, ...], NoDecode] = ("heart-disease",)', ""
        )
        assert not [name for name in names if name in text], file
