"""A volume with a model's versions. Others can write to it, so neither code nor data comes from it.

It holds `model.toml` and the versions, as serving needs them. The recipe, and the data unless a file is
given, are those of the image (docs/rollout.md).
"""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bundle.declaration import Declaration, load_declaration
from bundle.manifest import MANIFEST_FILE, load_manifest
from training import Say
from training.table import DataError

VOLUME_FIELDS = {"versions", "default_version"}
"""Fields in which the volume's model.toml may differ from the image's."""


def fill(folder: Path, source: Path) -> None:
    """Copy what serving needs of a model, unless its folder exists; the folder appears only when complete."""
    if os.path.lexists(folder):
        return
    declaration = load_declaration(source)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=folder.parent) as place:
        new = Path(place) / folder.name
        new.mkdir()
        shutil.copyfile(source / "model.toml", new / "model.toml")
        for version in declaration.versions:
            if (source / version).is_dir():
                copy_version(source / version, new / version, declaration)
        try:
            new.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another run has filled it meanwhile
                raise


def copy_version(version: Path, target: Path, declaration: Declaration) -> None:
    """Copy the served files of a bundle, without its pipeline, which is code to whoever loads it."""
    target.mkdir()
    for name in (MANIFEST_FILE, *load_manifest(version, declaration).files):
        shutil.copyfile(version / name, target / name)


def check_volume(folder: Path, source: Path, say: Say) -> None:
    """Reject a folder that holds links, or that declares another model than the image does."""
    for path in (folder, *entries(folder)):
        mode = path.lstat().st_mode
        if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
            raise DataError(f"{path} is a link or a device, which a model's folder must not hold: remove it")
    check_declaration(folder, source)
    if (folder / "recipe.py").exists():
        say(f"{folder / 'recipe.py'} is not used: code comes from {source}")


def entries(folder: Path) -> Iterator[Path]:
    """Yield every path below a folder; links are not followed."""

    def fail(error: OSError) -> None:
        raise error

    for place, folders, files in os.walk(folder, onerror=fail):
        for name in (*folders, *files):
            yield Path(place) / name


def check_declaration(folder: Path, source: Path) -> None:
    """Reject a model.toml that differs from the image's in more than its versions."""
    theirs, ours = load_declaration(folder), load_declaration(source)
    for field in Declaration.model_fields:
        if field not in VOLUME_FIELDS and getattr(theirs, field) != getattr(ours, field):
            raise DataError(
                f"{folder / 'model.toml'} has another '{field}' than {source / 'model.toml'}: copy the "
                "latter, and append those [versions] of the former that are still right"
            )
    estimators = {version.estimator for version in ours.versions.values()}
    for name, version in theirs.versions.items():
        if version.estimator not in estimators:
            raise DataError(
                f"{folder / 'model.toml'} names an estimator for {name} that {source / 'model.toml'} does "
                f"not: remove [versions.{name}]"
            )
