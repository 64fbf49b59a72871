"""What a run takes from a volume that others can write to, and what it leaves there."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bundle.declaration import load_declaration
from bundle.errors import BundleError
from bundle.manifest import load_manifest
from serving.inference.catalogue import load_model
from tests.harness import HEART
from training.retrain import next_version
from training.table import DataError
from training.volume import check_volume, fill


def quiet(_: str) -> None:
    """Say nothing."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model's folder on a volume, as a run has filled it."""
    folder = tmp_path / "volume" / "heart-disease"
    folder.parent.mkdir()
    fill(folder, HEART)
    return folder


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def edit(folder: Path, old: str, new: str) -> None:
    text = (folder / "model.toml").read_text(encoding="utf-8")
    assert old in text
    (folder / "model.toml").write_text(text.replace(old, new, 1), encoding="utf-8")


def append(folder: Path, text: str) -> None:
    with (folder / "model.toml").open("a", encoding="utf-8") as file:
        file.write(text)


def test_a_volume_gets_what_serving_needs_and_no_code_or_data(folder: Path) -> None:
    served = load_manifest(HEART / "v1", load_declaration(HEART)).files
    assert names(folder) == {"model.toml", "v1/bundle.json", *(f"v1/{name}" for name in served)}
    assert load_model(folder).version == "v1"
    check_volume(folder, HEART, quiet)


def test_a_volume_that_has_the_model_keeps_it(folder: Path) -> None:
    (folder / "model.toml").write_text("its own", encoding="utf-8")
    fill(folder, HEART)
    assert (folder / "model.toml").read_text(encoding="utf-8") == "its own"


def test_a_volume_is_filled_completely_or_not_at_all(tmp_path: Path) -> None:
    source = shutil.copytree(HEART, tmp_path / "image" / "heart-disease")
    (source / "v1" / "card.html").unlink()
    volume = tmp_path / "volume"
    volume.mkdir()
    with pytest.raises(FileNotFoundError, match=r"card\.html"):
        fill(volume / "heart-disease", source)
    (source / "v1" / "bundle.json").write_text("{", encoding="utf-8")
    with pytest.raises(BundleError, match="is not JSON"):
        fill(volume / "heart-disease", source)
    assert list(volume.iterdir()) == []


def link(path: str, target: str) -> Callable[[Path], None]:
    def replace(folder: Path) -> None:
        (folder / path).unlink(missing_ok=True)
        (folder / path).symlink_to(target)

    return replace


def link_the_folder(folder: Path) -> None:
    folder.rename(folder.parent / "elsewhere")
    folder.symlink_to("elsewhere")


@pytest.mark.parametrize(
    ("change", "path"),
    [
        (link("model.toml", "/dev/zero"), "model.toml"),
        (link("v3", "/etc"), "v3"),
        (link("CARD.md", "nowhere"), "CARD.md"),
        (link("v1/model.onnx", "../model.toml"), "v1/model.onnx"),
        (lambda folder: os.mkfifo(folder / "v1" / "more"), "v1/more"),
        (link_the_folder, ""),
    ],
)
def test_links_and_special_files_are_rejected(
    folder: Path, change: Callable[[Path], None], path: str
) -> None:
    change(folder)
    with pytest.raises(DataError) as refusal:
        check_volume(folder, HEART, quiet)
    assert str(refusal.value).startswith(f"{folder / path} is a link or a device")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda folder: edit(folder, "female = 0, male = 1", "female = 1, male = 0"),
            "has another 'features' than",
        ),
        (lambda folder: edit(folder, 'label = "disease"', 'label = "sick"'), "has another 'classes' than"),
        (
            lambda folder: edit(folder, "\nthreshold = 0.5", "\nthreshold = 0.1"),
            "has another 'threshold' than",
        ),
        (lambda folder: edit(folder, "\ntitle = ", '\ntitle = "x" #'), "has another 'title' than"),
        (lambda folder: append(folder, '[versions.v2]\nestimator = "x"\n'), "names an estimator for v2 that"),
    ],
)
def test_a_declaration_that_differs_from_the_images_is_rejected(
    folder: Path, change: Callable[[Path], None], sentence: str
) -> None:
    change(folder)
    with pytest.raises(DataError) as refusal:
        check_volume(folder, HEART, quiet)
    assert str(refusal.value).startswith(f"{folder / 'model.toml'} {sentence} {HEART / 'model.toml'}")


def test_versions_are_the_volumes_own(folder: Path) -> None:
    append(folder, '\n[versions.v2]\nestimator = "logistic_regression"\n')
    edit(folder, 'default_version = "v1"', 'default_version = "v2"')
    check_volume(folder, HEART, quiet)


def test_a_name_that_only_looks_like_a_version_is_ignored(folder: Path) -> None:
    (folder / "v7²").mkdir()
    assert next_version(folder, load_declaration(folder)) == "v2"
