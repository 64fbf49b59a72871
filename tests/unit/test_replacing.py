"""What is served stays whole until its replacement is: on a full disk, after a kill, with two runs."""

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pandas as pd
import pytest
import skops.io
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from bundle.declaration import load_declaration
from bundle.manifest import load_manifest, read_files
from tests.harness import HEART, PROJECT, eventually
from training import importing, replacing
from training.__main__ import main as train
from training.replacing import new_folder, replace_file, replaced_folder
from training.table import DataError

IRIS = HEART.parent / "iris"
SMALL = 20_000
"""Bytes: less than a forest has, and more than any other file of a bundle."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a megabyte, where this process may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    mounted = os.geteuid() == 0 and subprocess.run(command, capture_output=True, check=False).returncode == 0
    yield place
    if mounted:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@contextmanager
def full(disk: Path) -> Iterator[str]:
    """Leave little space on the disk, or let no file be larger, and give the reason of the failure."""
    if not os.path.ismount(disk):
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL, limits[1]))
        try:
            yield "File too large"
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        return
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
    os.truncate(filler, filler.stat().st_size - SMALL)
    yield "No space left on device"
    filler.unlink()


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_a_full_disk_leaves_the_served_version(disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(shutil.copytree(IRIS, disk / "iris"))
    recipe = (folder / "recipe.py").read_text(encoding="utf-8")
    forest = "from sklearn.ensemble import RandomForestClassifier"
    recipe = recipe.replace("from sklearn.linear_model import LogisticRegression", forest)
    recipe = recipe.replace("LogisticRegression(max_iter=1000)", "RandomForestClassifier(20)")
    recipe = recipe.replace("StandardScaler(), ", "")
    (folder / "recipe.py").write_text(recipe, encoding="utf-8")
    before = contents(folder)
    with full(disk) as reason:
        assert train(["--models-dir", str(disk), "--model", "iris"]) == 1
        assert capsys.readouterr().err == f"error: v1: {folder / 'v1'} cannot be written: {reason}\n"
        assert contents(folder) == before
    assert not list(folder.glob(".new-*"))
    assert train(["--models-dir", str(disk), "--model", "iris"]) == 0
    assert "additive.json" not in contents(folder / "v1")
    read_files(folder / "v1", load_manifest(folder / "v1", load_declaration(folder)))


def test_a_full_disk_leaves_the_imported_version(
    tmp_path: Path, disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(IRIS, disk / "iris"))
    frame = pd.read_csv(folder / "data.csv")
    rows = frame.drop(columns="species").astype("float32")
    file = tmp_path / "model.skops"

    def imported(version: str) -> int:
        arguments = ["--models-dir", str(disk), "--model", "iris", "--file", str(file), "--version", version]
        return importing.main([*arguments, "--data", str(folder / "data.csv")])

    skops.io.dump(LogisticRegression(max_iter=1000).fit(rows, frame["species"]), file)
    assert imported("v2") == 0
    skops.io.dump(RandomForestClassifier(100).fit(rows, frame["species"]), file)
    before = contents(folder)
    capsys.readouterr()
    for version in ("v2", "v3"):
        with full(disk) as reason:
            assert imported(version) == 1
            assert capsys.readouterr().err == f"error: {folder / version} cannot be written: {reason}\n"
            assert contents(folder) == before
    assert not list(folder.glob(".new-*"))


@pytest.mark.parametrize("at_once", [True, False], ids=["in one step", "in two steps"])
def test_a_folder_takes_the_place_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, at_once: bool
) -> None:
    """Not every file system can exchange two folders in one step."""
    if not at_once:
        monkeypatch.setattr(replacing, "exchanged", lambda *_: False)
    for text in ("old", "new"):
        with replaced_folder(tmp_path / "v1") as folder:
            (folder / text).write_text(text, encoding="utf-8")
    assert contents(tmp_path) == {"v1/new": b"new"}


def test_two_folders_areexchanged_in_one_step(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    assert replacing.exchanged(tmp_path / "a", tmp_path / "b")
    assert contents(tmp_path) == {"a/b": b"", "b/a": b""}


def test_a_failure_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with replaced_folder(tmp_path / "v1") as folder:
        (folder / "old").touch()
    with pytest.raises(KeyboardInterrupt), replaced_folder(tmp_path / "v1"):
        raise KeyboardInterrupt
    monkeypatch.setattr(replacing, "exchanged", lambda *_: False)
    with (
        pytest.raises(DataError, match="v1 cannot be written: No such file"),
        replaced_folder(tmp_path / "v1") as folder,
    ):
        folder.rmdir()  # so that it cannot take the place, when the old one has left it
    assert contents(tmp_path) == {"v1/old": b""}
    assert [path.name for path in tmp_path.iterdir()] == ["v1"]


WAITING = """import sys, time
from pathlib import Path
from training.replacing import new_folder, replaced_folder
with globals()[sys.argv[1]](Path(sys.argv[2])) as folder:
    (folder / "half").touch()
    print("writing", flush=True)
    sys.stdin.read()
"""


@contextmanager
def writing(kind: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", WAITING, kind, str(folder)]
    with subprocess.Popen(
        command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "writing\n"
        yield process


def test_what_a_killed_run_left_is_removed_or_put_back(tmp_path: Path) -> None:
    with writing("replaced_folder", tmp_path / "v1") as process:
        process.kill()
    (left,) = tmp_path.glob(".new-*")
    assert contents(left) == {"v1/half": b""}
    (left / "old").mkdir()  # as if it had been killed between two steps
    (left / "old" / "served").touch()
    with pytest.raises(KeyboardInterrupt), replaced_folder(tmp_path / "v1"):
        raise KeyboardInterrupt
    assert contents(tmp_path) == {"v1/served": b""}
    assert [path.name for path in tmp_path.iterdir()] == ["v1"]


def test_the_second_of_two_runs_of_a_new_name_gets_a_sentence(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "credit"
    with writing("new_folder", folder) as first:
        second = subprocess.Popen(
            [sys.executable, "-c", WAITING, "new_folder", str(folder)],
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        waiting = f"-> FLOCK  ADVISORY  WRITE {second.pid} "
        eventually(lambda: waiting in Path("/proc/locks").read_text(encoding="utf-8"), "the second waits")
        first.communicate("")
    assert second.communicate(timeout=30)[1].endswith(
        f"{folder} exists and stays as it is: remove it first, or give another name\n"
    )
    assert contents(folder) == {"half": b""}


def test_errors_name_the_folder_and_not_the_place_where_it_is_made(tmp_path: Path) -> None:
    folder = tmp_path / "credit"
    with pytest.raises(DataError) as failure, new_folder(folder) as drafted:
        raise DataError(f"{drafted / 'model.toml'} is wrong")
    assert str(failure.value) == f"{folder / 'model.toml'} is wrong"
    assert not list(tmp_path.iterdir())


def test_a_file_is_replaced_as_a_whole(disk: Path) -> None:
    path = disk / "CARD.md"
    replace_file(path, "old")
    with full(disk) as reason, pytest.raises(DataError, match=f"CARD.md cannot be written: {reason}"):
        replace_file(path, "x" * 3 * SMALL)
    assert contents(disk) == {"CARD.md": b"old"}
    assert [path.name for path in disk.iterdir()] == ["CARD.md"]
