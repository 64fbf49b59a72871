"""Command line: `make sbom` lists what a checkout serves with, and the Dockerfile what its image holds."""

import argparse
import sys
import tomllib
from pathlib import Path

from tools.sbom.base import base_component, debian_components
from tools.sbom.document import Project, document
from tools.sbom.errors import SbomError
from tools.sbom.lock import read_lock
from tools.sbom.models import read_bundles
from tools.sbom.packages import check_complete, installed, interpreter, package_components

PROJECT = Path(__file__).resolve().parents[2]


def write(arguments: argparse.Namespace) -> str:
    """Write the document, and return what to tell of it."""
    described = tomllib.loads((arguments.project / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    project = Project(*(described[name] for name in ("name", "version", "description", "license")))
    lock = read_lock(arguments.project / "requirements" / "serve.txt")
    found = installed(arguments.environment)
    system = [interpreter()]
    if arguments.image:
        check_complete(found, lock)
        system += [base_component(arguments.image), *debian_components()]
    packages = package_components(lock, found)
    bundles = read_bundles(arguments.project / "models")
    text = document(project, packages, found, system, bundles)
    arguments.output.write_text(text, encoding="utf-8")
    counts = f"{len(packages)} packages of Python, {len(bundles)} models, {len(system)} parts of the system"
    return f"{arguments.output}: {counts}"


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the bill of materials in CycloneDX.")
    parser.add_argument("--project", type=Path, default=PROJECT, help="folder with models/ and requirements/")
    parser.add_argument("--environment", type=Path, required=True, help="virtual environment that serves")
    parser.add_argument("--image", help="base of the image that this runs in; lists Debian's packages, too")
    parser.add_argument("--output", type=Path, required=True)
    try:
        print(write(parser.parse_args()))
    except SbomError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
