"""Measures ours against other servers of the same scikit-learn pipeline, each in an environment of its own.

Environments are made from `bench/peers/<name>/requirements.txt` under the user's cache, once for each version
of that file: it pins what is measured, and all else is the newest of RELEASED_BEFORE.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from bench.load import PROJECT, BenchError, Load, MeasuredServer, example
from bench.ours import ECHO, OURS
from bench.results import Measurement, other_load, save

PEERS = PROJECT / "bench" / "peers"
MODEL_FILE = PROJECT / "models" / "heart-disease" / "v1" / "model.joblib"
RELEASED_BEFORE = "2026-11-18T23:00:00Z"
"""Packages that are newer do not exist for a peer's environment, so that it is made alike on any day."""

ROUNDS = 3
SECONDS = 5
GOAL = "at least 50"


@dataclass(frozen=True)
class Peer:
    """Another server: its folder under bench/peers/, and how it is started and asked.

    `{port}`, `{bin}` (its environment's programs) and `{saved}` (where its save.py writes) are filled in.
    `package` is the one whose version is shown.
    """

    name: str
    folder: str
    package: str
    command: Sequence[str]
    body: object = None
    path: str = "/predict"
    environment: dict[str, str] = field(default_factory=dict)
    goal: str = GOAL


def peers() -> list[Peer]:
    row = example()
    values = [float(value) for value in row.values()]
    tensor = {"name": "predict", "shape": [1, len(values)], "datatype": "FP64", "data": values}
    return [
        Peer(
            "the tutorial way",
            "tutorial",
            "fastapi",
            ["-m", "uvicorn", "server:app", "--port", "{port}", "--no-access-log"],
        ),
        Peer(
            "BentoML",
            "bentoml",
            "bentoml",
            ["{bin}/bentoml", "serve", "service:Heart", "--port", "{port}", "--host", "127.0.0.1"],
            body={"patient": row},
            environment={"BENTOML_DO_NOT_TRACK": "True"},
        ),
        Peer(
            "MLServer",
            "mlserver",
            "mlserver",
            ["{bin}/mlserver", "start", "."],
            body={"inputs": [tensor], "outputs": [{"name": "predict_proba"}]},
            path="/v2/models/heart/infer",
            environment={
                "MLSERVER_HOST": "127.0.0.1",
                "MLSERVER_HTTP_PORT": "{port}",
                "MLSERVER_GRPC_PORT": "0",
                "MLSERVER_METRICS_PORT": "0",
            },
        ),
        Peer("LitServe", "litserve", "litserve", ["server.py"]),
        Peer(
            "MLflow",
            "mlflow",
            "mlflow",
            [
                "{bin}/mlflow", "models", "serve", "-m", "{saved}", "--env-manager", "local",
                "--port", "{port}", "--workers", "1",
            ],
            body={"dataframe_split": {"columns": list(row), "data": [values]}},
            path="/invocations",
        ),
        Peer(
            "ours on granian",
            "granian",
            "granian",
            [
                "{bin}/granian", "--interface", "asgi", "--http", "1", "--loop", "uvloop", "--port", "{port}",
                "--no-access-log", "--log-level", "error", "server:app",
            ],
            environment={"PYTHONPATH": str(PROJECT)},
            goal="",
        ),
    ]  # fmt: skip


def run(say: Callable[[str], None]) -> None:
    """Measure every peer against ours, and write `docs/performance/peers.json`."""
    measured: list[dict[str, Any]] = []
    busy, measurements = other_load(), list[Measurement]()
    with MeasuredServer(OURS) as ours, MeasuredServer(ECHO) as echo:
        ours.load(2)
        for peer in peers():
            say(f"{peer.name}: its environment ...")
            python = environment(peer.folder)
            with ExitStack() as until_measured:
                server = started(peer, python, until_measured)
                say(f"{peer.name}: {ROUNDS} rounds of {SECONDS} s ...")
                server.load(2)
                rounds = [(server.load(SECONDS), ours.load(SECONDS)) for _ in range(ROUNDS)]
                row = entry(peer.name, version_of(python, peer.package), server, rounds)
            say(f"{peer.name}: {row['times']:.1f} times our CPU")
            measured.append(row)
            if peer.goal:
                what = f"times the CPU a request of ours: {peer.name}"
                measurements.append(Measurement(what, row["times"], "x", row["low"], row["high"], peer.goal))
        rounds = [(ours.load(SECONDS), ours.load(SECONDS)) for _ in range(ROUNDS)]
        first = entry("ours", "this commit", ours, rounds)
        bare = [(echo.load(SECONDS), ours.load(SECONDS)) for _ in range(ROUNDS)]
        yardstick = entry("a bare uvicorn echo", version_of(Path(sys.executable), "uvicorn"), echo, bare)
    save(
        "peers",
        measurements,
        busy,
        peers=[first, yardstick, *sorted(measured, key=lambda row: float(row["cpu"]))],
    )


def entry(
    name: str, version: str, server: MeasuredServer, rounds: Sequence[tuple[Load, Load]]
) -> dict[str, Any]:
    times = [theirs.cpu / ours.cpu for theirs, ours in rounds]
    return {
        "name": name,
        "version": version,
        "times": median(times),
        "low": min(times),
        "high": max(times),
        "cpu": median(theirs.cpu for theirs, _ in rounds),
        "p50": median(theirs.p50 for theirs, _ in rounds),
        "p99": median(theirs.p99 for theirs, _ in rounds),
        "memory": server.resident_mib(),
        "start": server.seconds_to_ready,
    }


def started(peer: Peer, python: Path, until_measured: ExitStack) -> MeasuredServer:
    """Start a peer in a copy of its folder, and see that it answers as scikit-learn does."""
    folder = Path(until_measured.enter_context(tempfile.TemporaryDirectory())) / peer.folder
    shutil.copytree(PEERS / peer.folder, folder)
    shutil.copy(MODEL_FILE, folder)
    if (folder / "save.py").exists():
        subprocess.run(
            [python, "save.py", "model.joblib", "saved"], cwd=folder, check=True, capture_output=True
        )
    filled = [
        part.replace("{bin}", str(python.parent)).replace("{saved}", str(folder / "saved"))
        for part in peer.command
    ]
    own = {
        "MODEL_FILE": str(folder / "model.joblib"),
        "PATH": f"{python.parent}:{os.environ['PATH']}",
        "HOME": str(folder),
        **peer.environment,
    }
    server = until_measured.enter_context(
        MeasuredServer(filled, path=peer.path, body=peer.body, python=str(python), folder=folder, **own)
    )
    answer = server.post().decode()
    if "0.371" not in answer:
        raise BenchError(f"{peer.name} does not answer with the probability of 0.3719: {answer[:500]}")
    return server


def environment(name: str) -> Path:
    """Return the interpreter of an environment with what a peer requires; made where there is none."""
    required = PEERS / name / "requirements.txt"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "heart-disease-api" / "peers"
    folder = cache / f"{name}-{_fingerprint(required)}"
    python = folder / "bin" / "python"
    if not (folder / "done").exists():
        shutil.rmtree(folder, ignore_errors=True)
        uv: list[str | Path] = [Path(sys.executable).parent / "uv", "--quiet"]
        subprocess.run([*uv, "venv", "--python", sys.executable, folder], check=True)
        options: list[str | Path] = [
            "--python",
            python,
            "--exclude-newer",
            RELEASED_BEFORE,
            "--requirement",
            required,
        ]
        subprocess.run([*uv, "pip", "install", *options], check=True)
        (folder / "done").touch()
    return python


def _fingerprint(required: Path) -> str:
    """Return what changes with the pins, the day, and the files that the pins refer to."""
    pins = required.read_text(encoding="utf-8")
    files = [required.parent / file for file in re.findall(r"^-[rc] (\S+)", pins, flags=re.MULTILINE)]
    content = "".join([RELEASED_BEFORE, pins, *(file.read_text(encoding="utf-8") for file in files)])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def version_of(python: Path, package: str) -> str:
    code = f"import importlib.metadata as m, json; print(json.dumps(m.version('{package}')))"
    done = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True)
    return f"{package} {json.loads(done.stdout)}"
