"""The running server keeps every promise of its own OpenAPI document."""

import subprocess
import sys
from pathlib import Path

from tests.harness import TEST_LONG, Server, clean_environment
from tests.systems import System


def examples_of(system: System) -> int:
    """Return how many examples each operation gets: all models run the same code, so one gets most."""
    if TEST_LONG:
        return 300
    return 60 if system.name == "heart-disease" else 10


def test_the_server_does_what_its_openapi_says(server: Server, system: System, tmp_path: Path) -> None:
    schemathesis = str(Path(sys.executable).with_name("schemathesis"))
    command = [schemathesis, "run", f"{server.url}/openapi.json", "--checks", "all"]
    command += [
        "--max-examples",
        str(examples_of(system)),
        "--phases",
        "examples,coverage,fuzzing,stateful",
        "--seed",
        "1",
        "--no-color",
        "--workers",
        "1",
    ]
    result = subprocess.run(
        command,
        cwd=tmp_path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=3600,
    )
    assert result.returncode == 0, result.stdout[-6000:]
    documented = sum(len(path) for path in server.get("/openapi.json").json()["paths"].values())
    assert f"{documented} selected / {documented} total" in result.stdout, result.stdout[-3000:]
