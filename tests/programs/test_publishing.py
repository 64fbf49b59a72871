"""The chart as others get it: packaged, signed, pushed to a registry on loopback, installed from there."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving.app import project_version
from tests.api_server import ApiServer
from tests.harness import PROJECT, run

PACKAGE = PROJECT / "scripts" / "package-chart.sh"
ADDRESS = "charts@example.org"


@pytest.fixture(scope="module")
def gnupg(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Settings by which GnuPG has a key of its own, with a passphrase."""
    folder = tmp_path_factory.mktemp("gnupg")
    folder.chmod(0o700)
    (folder / "passphrase").write_text("a passphrase", encoding="utf-8")
    settings = {"GNUPGHOME": str(folder)}
    options = ["--batch", "--pinentry-mode=loopback", f"--passphrase-file={folder / 'passphrase'}"]
    run("gpg", *options, "--quick-generate-key", f"Charts <{ADDRESS}>", settings=settings)
    (folder / "public.gpg").write_bytes(
        subprocess.run(
            ["gpg", "--export", ADDRESS], env=os.environ | settings, check=True, stdout=subprocess.PIPE
        ).stdout
    )
    yield settings
    run("gpgconf", "--kill", "all", settings=settings)


@pytest.fixture(scope="module", params=["helm", "helm4"])
def helm(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory, gnupg: dict[str, str], helm: str) -> Path:
    """The package that the script makes with one of the Helms, and its provenance beside it."""
    folder = tmp_path_factory.mktemp("signed")
    commands = folder / "commands"
    commands.mkdir()
    (commands / "helm").symlink_to(shutil.which(helm) or "")
    settings = gnupg | {"PATH": f"{commands}:{os.environ['PATH']}"}
    passphrase = Path(gnupg["GNUPGHOME"]) / "passphrase"
    run(PACKAGE, "--key", ADDRESS, "--passphrase-file", passphrase, "--to", folder, settings=settings)
    return folder / f"heart-disease-api-{project_version()}.tgz"


def test_a_signed_chart_is_installed_from_a_registry(
    cluster: ApiServer, registry: str, gnupg: dict[str, str], signed: Path, helm: str
) -> None:
    keyring = ["--verify", "--keyring", str(Path(gnupg["GNUPGHOME"]) / "public.gpg")]
    run(helm, "push", signed, f"oci://{registry}/{helm}", "--plain-http")
    chart = f"oci://{registry}/{helm}/heart-disease-api"
    place = ["--namespace", f"from-{helm}", "--create-namespace", "--set=service.nodePort=null"]
    options = [*keyring, "--version", project_version(), "--plain-http"]
    said = cluster.run(helm, "install", "heart", chart, *options, *place)
    assert "STATUS: deployed" in said.stdout
    found = cluster.kubectl("get", "deployment", "--output=name", *place[:2]).stdout
    assert found.strip() == "deployment.apps/heart-heart-disease-api"


def test_a_package_that_was_changed_is_not_verified(
    signed: Path, gnupg: dict[str, str], helm: str, tmp_path: Path
) -> None:
    keyring = ["--keyring", str(Path(gnupg["GNUPGHOME"]) / "public.gpg")]
    run(helm, "verify", signed, *keyring)
    package = Path(shutil.copy(signed, tmp_path))
    shutil.copy(f"{signed}.prov", tmp_path)
    package.write_bytes(package.read_bytes() + b"\0")
    changed = run(helm, "verify", package, *keyring, check=False)
    assert changed.returncode != 0
    assert "sha256 sum does not match" in changed.stderr


def test_a_chart_is_packaged_without_a_key(tmp_path: Path) -> None:
    run(PACKAGE, "--to", tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [f"heart-disease-api-{project_version()}.tgz"]


def test_a_key_that_is_not_there_is_reported(tmp_path: Path, gnupg: dict[str, str]) -> None:
    result = run(PACKAGE, "--key", "nobody@example.org", "--to", tmp_path, settings=gnupg, check=False)
    assert result.returncode == 1
    assert "error: GnuPG has no such secret key" in result.stderr
    assert list(tmp_path.iterdir()) == []
