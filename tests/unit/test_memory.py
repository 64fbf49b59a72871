"""Training stays within the memory that docs/models.md states, and says what it took."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.size import Size, draw
from tests.harness import PROJECT
from training import memory
from training.memory import needed
from training.new import new

SIZE = Size(12_000, 10)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    draw(tmp_path / "few.csv", Size(2_000, SIZE.features))
    new(tmp_path, "sized", tmp_path / "few.csv", "bought", say=lambda _: None)
    draw(tmp_path / "rows.csv", SIZE)
    return tmp_path


def test_training_stays_within_what_is_stated(folder: Path) -> None:
    command = [sys.executable, "-m", "training", "--models-dir", str(folder), "--model", "sized"]
    trained = subprocess.run(
        [*command, "--data", str(folder / "rows.csv")],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert trained.returncode == 0, trained.stderr
    found = re.search(r"^trained in \d+ s with ([\d,]+) MiB$", trained.stdout, re.MULTILINE)
    assert found, trained.stdout
    assert 100 < int(found[1].replace(",", "")) < needed(SIZE.rows, SIZE.features)


def test_the_least_of_all_limits_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "memory.max").write_text(f"{800 * 2**20}\n", encoding="ascii")
    (tmp_path / "memory.stat").write_text(f"anon {300 * 2**20}\nfile {200 * 2**20}\n", encoding="ascii")
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    monkeypatch.setattr(memory, "_own", lambda: 100 * 2**20)
    assert memory.available() == 600
    (tmp_path / "memory.max").write_text("max\n", encoding="ascii")
    assert (memory.available() or 0) > 600


def test_memory_of_whoever_starts_the_training_is_not_counted() -> None:
    held = b"x" * (400 * 2**20)
    script = "from training.memory import peak; print(peak())"
    found = subprocess.run(
        [sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert int(found.stdout) < len(held) // 2**20
