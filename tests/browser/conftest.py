"""A server with two shipped models and one of one's own, and Debian's Chromium, which visits its pages."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from bundle.declaration import load_declaration
from bundle.encoding import Encoder
from bundle.manifest import load_manifest
from tests.contract.test_feedback import settings_for
from tests.contract.test_own_model import declare
from tests.harness import HEART, Server
from tests.systems import MODELS
from training.build import build

NAMES = ("heart-disease", "iris", "plants")
SECONDS = 20
"""How long an element may take to appear, on a busy machine."""

Visit = Callable[..., Page]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    models = tmp_path_factory.mktemp("models")
    for shipped in (HEART, MODELS / "iris"):
        shutil.copytree(shipped, models / shipped.name)
    build(declare(models, "plants"), None, None, say=lambda _: None)
    return models


@pytest.fixture(scope="session")
def server(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of all three, which takes outcomes."""
    outcomes = settings_for(tmp_path_factory.mktemp("outcomes"))
    server = Server(outcomes | {"MODEL": ",".join(NAMES), "MODELS_DIR": str(folder)}).wait_until_ready()
    yield server
    assert server.stop() == 0
    assert not [line for line in server.lines if "Traceback" in line or '"level":"error"' in line]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    executable = shutil.which("chromium")
    assert executable, "the tests of the console need a browser: apt-get install chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """Open a page with these options of a context; whatever the browser complains of fails the test."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []
    expected = {"$^"}

    def open_page(address: str, complaint: str = "$^", **options: Any) -> Page:
        context = browser.new_context(**options)
        context.set_default_timeout(SECONDS * 1000)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        expected.add(complaint)
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not [said for said in complaints if not re.search("|".join(expected), said)]


def probe_rows(folder: Path, name: str) -> list[dict[str, Any]]:
    """Return the rows of the examples that a page offers, the declared one first."""
    declaration = load_declaration(folder / name)
    manifest = load_manifest(folder / name / "v1", declaration)
    return [declaration.example, *(probe.row for probe in manifest.probes)]


def probabilities(folder: Path, name: str) -> NDArray[np.float64]:
    """Return scikit-learn's probabilities [examples, classes]."""
    encoder = Encoder(load_declaration(folder / name))
    pipeline = joblib.load(folder / name / "v1" / "model.joblib")
    return np.asarray(pipeline.predict_proba(encoder.encode(probe_rows(folder, name))))
