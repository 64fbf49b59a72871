"""The tests' own PostgreSQL server, from Debian's package."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Self

from tests.harness import eventually, free_port

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
OWNER = "postgres"


class Postgresql:
    """Runs as long as the context, as the user that the package created: PostgreSQL refuses to run as root.

    With the name of a node it runs in that node's network, where pods reach it.
    """

    def __init__(self, host: str = "127.0.0.1", node: str | None = None) -> None:
        assert PROGRAMS, "there is no PostgreSQL: install Debian's package postgresql"
        self._host = host
        self._inside = ["nsenter", f"--net=/run/netns/{node}"] if node else []
        self.port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="postgresql-"))
        shutil.chown(self._folder, OWNER, OWNER)
        self._data = self._folder / "data"
        self._run("initdb", "--auth=trust", "--username=api", "--encoding=UTF8", str(self._data))
        access = self._data / "pg_hba.conf"
        access.write_text("local all all trust\nhost all all all scram-sha-256\n", encoding="utf-8")

    @property
    def url(self) -> str:
        return f"postgresql://api:secret@{self._host}:{self.port}/outcomes"

    def __enter__(self) -> Self:
        self.start()
        self.ask("ALTER USER api PASSWORD 'secret'", database="postgres")
        self.ask("CREATE DATABASE outcomes", database="postgres")
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self._folder)

    def start(self) -> None:
        listening = ["-p", str(self.port), "-c", f"listen_addresses={self._host}"]
        owner = ["setpriv", f"--reuid={OWNER}", f"--regid={OWNER}", "--clear-groups"]
        self._process = subprocess.Popen(
            [
                *self._inside,
                *owner,
                PROGRAMS[-1] / "postgres",
                "-D",
                self._data,
                "-k",
                self._folder,
                *listening,
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self._folder,
            start_new_session=True,
        )
        eventually(self._ready, "PostgreSQL is ready")

    def kill(self) -> None:
        """Kill the server and its children, as a power failure would."""
        children = subprocess.run(
            ["pgrep", "--parent", str(self._process.pid)], capture_output=True, text=True, check=False
        )
        for process in (self._process.pid, *map(int, children.stdout.split())):
            try:
                os.kill(process, 9)
            except ProcessLookupError:
                continue
        self._process.wait(10)

    def ask(self, statement: str, database: str = "outcomes") -> str:
        said = ["--no-psqlrc", "--tuples-only", "--no-align", "--command", statement]
        return self._run("psql", *self._where(database), *said)

    def _where(self, database: str) -> list[str]:
        return ["-h", str(self._folder), "-p", str(self.port), "-U", "api", "-d", database]

    def _ready(self) -> bool:
        asked = [str(PROGRAMS[-1] / "pg_isready"), *self._where("postgres")]
        return subprocess.run(asked, capture_output=True, check=False).returncode == 0

    def _run(self, program: str, *arguments: str | Path) -> str:
        done = subprocess.run(
            [PROGRAMS[-1] / program, *arguments],
            user=OWNER,
            group=OWNER,
            extra_groups=[],
            capture_output=True,
            text=True,
            check=False,
            cwd=self._folder,
        )
        assert done.returncode == 0, f"{program}: {done.stdout}{done.stderr}"
        return done.stdout.strip()
