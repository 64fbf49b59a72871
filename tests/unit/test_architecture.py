"""Imports go one way, the server stays light, and it knows no model by name."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import PROJECT, clean_environment
from tests.systems import PAGES

CONSOLE = PROJECT / "serving" / "console"

# package -> what of the project it may import
ALLOWED = {
    "bundle": {"bundle"},
    "registry": {"bundle", "registry"},
    "monitoring/panels": {"bundle", "monitoring"},
    "serving": {"bundle", "monitoring", "registry", "serving"},
    "retrain_api": {"bundle", "registry", "retrain_api", "serving"},
    "training": {"bundle", "registry", "training"},
    "models": {"bundle", "training"},
    "api_server.py": {"serving"},
}

# room or module of serving -> those it may import besides itself: each is above those it names
ROOMS = {
    "request": {"logs", "turns"},
    "turns": set(),
    "secret_files": set(),
    "logs": set(),
    "setting_groups": set(),
    "settings": {"secret_files", "setting_groups"},
    "errors": set(),
    "bearer": {"errors", "secret_files", "settings"},
    "metrics": set(),
    "inference": {"errors", "logs", "metrics", "request", "setting_groups"},
    "rollout": {"inference", "logs", "metrics", "request", "setting_groups", "settings"},
    "feedback": {
        "bearer",
        "errors",
        "inference",
        "logs",
        "metrics",
        "secret_files",
        "setting_groups",
        "settings",
    },
    "http": {"errors", "feedback", "inference", "logs", "metrics", "request", "rollout", "setting_groups"},
    "console": {"errors", "feedback", "http", "inference", "request", "setting_groups"},
    "transport": {"errors", "metrics", "request", "setting_groups", "turns"},
}

NAMED_BY_ELEMENT = [
    "serving",
    "registry",
    "retrain_api",
    "bundle",
    "training",
    "tools",
    "bench",
    "monitoring",
    "tests",
    "compose",
    "models",
]
"""Packages whose variables name their element."""

MEASURING = {
    "serving/app.py",
    "serving/http/application.py",
    "serving/http/routes/metrics.py",
    "serving/metrics/counts.py",
    "serving/metrics/exposition.py",
    "serving/metrics/vocabulary.py",
    "serving/metrics/workers.py",
    "serving/workers.py",
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
    ours = {*ALLOWED, "api_server", "tests", "bench", "monitoring"}
    for file in sources(package):
        imported = {name.partition(".")[0] for name in imports(file)} & ours
        assert imported <= ALLOWED[package], file


def test_what_the_image_has_of_monitoring_stands_alone() -> None:
    for package in ("serving", "monitoring/panels"):
        for file in sources(package):
            read = {name for name in imports(file) if name.partition(".")[0] == "monitoring"}
            assert all(name.startswith("monitoring.panels") for name in read), file


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_of_serving_imports_only_those_below_it(room: str) -> None:
    for file in sources(f"serving/{room}") or sources(f"serving/{room}.py"):
        imported = {name.split(".")[1] for name in imports(file) if name.startswith("serving.")}
        assert imported <= ROOMS[room] | {room}, file


def test_only_measuring_modules_touch_prometheus() -> None:
    touching = {
        str(file.relative_to(PROJECT))
        for file in sources("serving")
        if any(name.startswith("prometheus_client") for name in imports(file))
    }
    assert touching <= MEASURING


def bound_names(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg


@pytest.mark.parametrize("package", NAMED_BY_ELEMENT)
def test_a_variable_names_its_element(package: str) -> None:
    for file in sources(package):
        assert not {"it", "its", "one"} & set(bound_names(file)), file


def test_only_roots_see_all_settings() -> None:
    """A part gets only its group of settings: its signature shows what it depends on."""
    roots = {f"serving/{root}.py" for root in ("app", "main", "server", "settings", "workers")}
    whole = {"Settings", "ServerSettings", "load_settings", "read_settings"}
    for file in sources("serving"):
        tree = ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        taken = {
            alias.name
            for node in tree
            if isinstance(node, ast.ImportFrom) and node.module == "serving.settings"
            for alias in node.names
        }
        assert not taken & whole or str(file.relative_to(PROJECT)) in roots, file


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
    for file in sources("serving"):
        text = file.read_text(encoding="utf-8").replace(
            'model: Annotated[tuple[str, ...], NoDecode] = ("heart-disease",)', ""
        )
        assert not [name for name in PAGES if name in text], file
    pages = [file for folder in ("templates", "static") for file in (CONSOLE / folder).iterdir()]
    assert len(pages) > 5
    for file in pages:
        assert not [name for name in PAGES if name in file.read_text(encoding="utf-8")], file
