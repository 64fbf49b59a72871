"""Runs deploy.sh with the commands of one folder alone, and reads from a dry run what it would do."""

import re
import shutil
import subprocess
from pathlib import Path

from bench.prometheus import PROGRAMS
from tests.harness import PROJECT

TOOLS = ("bash", "dirname", "sed", "tr", "git", "mktemp", "rm", "cat", "sleep", "env")


def make_commands(parent: Path, *more: str) -> Path:
    """Make a folder for commands, which PATH will name alone."""
    folder = parent / "commands"
    folder.mkdir()
    for tool in (*TOOLS, *more):
        (folder / tool).symlink_to(shutil.which(tool) or "")
    for program in ("kubectl", "helm"):
        (folder / program).symlink_to(PROGRAMS / program)
    return folder


def write_program(file: Path, content: str) -> None:
    file.write_text(content, encoding="utf-8")
    file.chmod(0o755)


def deploy(
    commands: Path, *options: str, project: Path = PROJECT, **settings: str
) -> subprocess.CompletedProcess[str]:
    home = commands.parent
    environment = {
        "PATH": str(commands),
        "HOME": str(home),
        "TMPDIR": str(home),
        "KUBECONFIG": str(home / "kubeconfig"),
    }
    return subprocess.run(
        [str(project / "scripts" / "deploy.sh"), *options],
        env=environment | settings,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def planned(said: str) -> list[str]:
    """Return what the script would run, without what differs between checkouts."""
    lines = re.findall("^would run: (.*)$", said, re.MULTILINE)
    for pattern, name in (
        (r"org\.opencontainers\.image\.version=\S+", "VERSION"),
        (r"org\.opencontainers\.image\.revision=\S+", "REVISION"),
        (r"/\S+/image\.tar", "ARCHIVE"),
        (r"/\S+/digest", "DIGEST"),
        (r"(/heart-disease-api):[0-9]\S+", r"\1:TAG"),
        (f"{PROJECT}$", "."),
    ):
        lines = [re.sub(pattern, name, line) for line in lines]
    return lines
