"""XGBoost and LightGBM are exported as docs/models.md says, in an environment of their own.

It has what requirements/boosters.txt adds to the training environment, and is kept beside the built programs.
"""

import hashlib
import os
import site
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from bench.prometheus import PROGRAMS
from tests.estimators import BOOSTERS
from tests.harness import PROJECT

LOCK = PROJECT / "requirements" / "boosters.txt"


@pytest.fixture(scope="module")
def python() -> Path:
    """An interpreter that finds this environment's packages, and the boosters."""
    others = "\n".join(site.getsitepackages())
    digest = hashlib.sha256(LOCK.read_bytes() + sys.version.encode() + others.encode()).hexdigest()[:16]
    folder = PROGRAMS.parent / f"boosters-{digest}"
    found = folder / "bin" / "python"
    if not (folder / "complete").exists():
        venv.create(folder, clear=True, with_pip=True)
        packages = folder / "lib" / Path(sysconfig.get_path("purelib")).parent.name / "site-packages"
        (packages / "training.pth").write_text(others, encoding="utf-8")
        install = ["-m", "pip", "install", "--quiet", "--require-hashes", "--requirement", str(LOCK)]
        subprocess.run([str(found), *install], check=True)
        (folder / "complete").touch()
    return found


@pytest.mark.parametrize("name", BOOSTERS)
def test_a_booster_exports_as_the_page_says(python: Path, name: str) -> None:
    command = [str(python), "-m", "tests.estimators", name]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(f"{name}, three classes") == 2
