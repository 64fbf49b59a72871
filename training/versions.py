"""Adds a version to a model's declaration."""

import tomllib
from pathlib import Path

from bundle.declaration import Declaration, VersionDeclaration
from training.table import DataError


def with_version(declaration: Declaration, version: str, estimator: str) -> Declaration:
    versions = declaration.versions | {version: VersionDeclaration(estimator=estimator)}
    return declaration.model_copy(update={"versions": versions})


def appended(path: Path, version: str, estimator: str) -> str:
    """Return the text of model.toml with a version at its end; DataError if that is not valid."""
    text = path.read_text(encoding="utf-8")
    declared = tomllib.loads(text)
    declared["versions"][version] = {"estimator": estimator}
    longer = f'{text.rstrip()}\n\n[versions.{version}]\nestimator = "{estimator}"\n'
    try:
        if tomllib.loads(longer) == declared:
            return longer
    except tomllib.TOMLDecodeError:
        pass
    raise DataError(
        f"{path} has its versions in one line, which nothing can be appended to: add there by hand: "
        f'{version} = {{ estimator = "{estimator}" }}, and run this again'
    )
