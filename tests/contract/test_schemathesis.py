"""The running server keeps every promise of its own OpenAPI document."""

import subprocess
import sys
from pathlib import Path

from tests.harness import TEST_LONG, Server, clean_environment
from tests.systems import System


def effort(system: System) -> list[str]:
    """Return how much is tried: all models run the same code, so one gets most."""
    whole = "examples,coverage,fuzzing,stateful"
    if TEST_LONG:
        return ["--max-examples", "300", "--phases", whole]
    if system.name == "heart-disease":
        return ["--max-examples", "60", "--phases", whole]
    return ["--max-examples", "10", "--phases", "examples,fuzzing"]


def test_the_server_does_what_its_openapi_says(server: Server, system: System, tmp_path: Path) -> None:
    schemathesis = str(Path(sys.executable).with_name("schemathesis"))
    command = [schemathesis, "run", f"{server.url}/openapi.json", "--checks", "all"]
    command += [
        *effort(system),
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
