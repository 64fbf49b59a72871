"""Programs that stand in for kubectl, helm, docker, buildah and curl: they record calls; one may fail."""

import os
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.harness import PROJECT

PROGRAMS = ("kubectl", "helm", "docker", "buildah", "curl")
PARTS = ("bin", "calls", "inputs", "temporary")
PROGRAM = """\
#!/bin/bash
folder=${{0%/*}}/..
number=1
set -C
until {{ printf '%s\\0' "${{0##*/}}" "$@" >"$folder/calls/$number"; }} 2>/dev/null; do
    number=$((number + 1))
done
case " $*" in *" --filename -"*) cat >|"$folder/inputs/$number" ;; esac
fails() {{ [ "$number" = "$FAILS_AT" ]; }}
if fails && [ "$FAILS_LATE" = no ]; then echo "Error from server (Timeout)" >&2; exit 1; fi
case "${{0##*/}} $*" in
{cases}
esac
if fails; then echo "Error from server (Timeout)" >&2; exit 1; fi
"""


class StandIns:
    """A folder of stand-ins, first in PATH; an answer is shell code, by the pattern of its call."""

    def __init__(self, folder: Path, answers: Mapping[str, str]) -> None:
        self._folder = folder
        for part in PARTS:
            (folder / part).mkdir(parents=True)
        cases = "\n".join(f"{_pattern(call)}) {answer} ;;" for call, answer in answers.items())
        for program in PROGRAMS:
            file = folder / "bin" / program
            file.write_text(PROGRAM.format(cases=cases), encoding="utf-8")
            file.chmod(0o755)

    def run(
        self,
        *command: str | Path,
        fails_at: int = 0,
        fails_late: bool = False,
        given: str = "",
        variables: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a script; the call of that number fails, before or after its output."""
        for file in (*(self._folder / "calls").iterdir(), *(self._folder / "inputs").iterdir()):
            file.unlink()
        settings = {
            "PATH": f"{self._folder / 'bin'}:{os.environ['PATH']}",
            "KUBECONFIG": os.devnull,
            "FAILS_AT": str(fails_at),
            "FAILS_LATE": "yes" if fails_late else "no",
            "TMPDIR": str(self._folder / "temporary"),
        }
        return subprocess.run(
            [str(part) for part in command],
            cwd=self._folder,
            env=os.environ | settings | dict(variables or {}),
            input=given,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def calls(self) -> list[str]:
        """Return the calls in their order, as lines of a shell."""
        files = sorted((self._folder / "calls").iterdir(), key=lambda file: int(file.name))
        return [shlex.join(file.read_text(encoding="utf-8").split("\0")[:-1]) for file in files]

    def inputs(self) -> list[str]:
        """Return what was written to the calls that read it."""
        return [file.read_text(encoding="utf-8") for file in (self._folder / "inputs").iterdir()]

    def left_files(self) -> set[str]:
        """Return what a script left where it ran, and of its temporary files."""
        left = [*self._folder.iterdir(), *(self._folder / "temporary").iterdir()]
        return {file.name for file in left} - set(PARTS)


def say(*lines: str) -> str:
    """Return the answer that prints these lines."""
    return f"printf '%s\\n' {shlex.join(lines)}"


def _pattern(call: str) -> str:
    return "*".join(shlex.quote(part) if part else "" for part in call.split("*"))


SCRIPTS = PROJECT / "scripts"
MONITORING = PROJECT / "monitoring"
