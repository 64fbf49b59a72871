"""What was measured, as JSON in docs/performance/, and docs/performance.md written from it."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from bench.load import PROJECT

FOLDER = PROJECT / "docs" / "performance"
LIBRARIES = (
    "fastapi",
    "uvicorn",
    "uvloop",
    "httptools",
    "pydantic",
    "prometheus-client",
    "onnxruntime",
    "numpy",
)


@dataclass(frozen=True)
class Figure:
    """A measured figure, the lowest and highest of its rounds, and the goal it is held to.

    `goal` is "at most 2.5" or "at least 20"; `reason` is what was measured where a goal is not met.
    """

    what: str
    value: float
    unit: str
    low: float
    high: float
    goal: str = ""
    reason: str = ""

    @property
    def met(self) -> bool | None:
        if not self.goal:
            return None
        bound = float(self.goal.split()[-1].replace(",", ""))
        return self.value <= bound if self.goal.startswith("at most") else self.value >= bound


def of_rounds(what: str, rounds: Sequence[float], unit: str, goal: str = "", reason: str = "") -> Figure:
    """Return the median of several rounds with its spread."""
    return Figure(what, median(rounds), unit, min(rounds), max(rounds), goal, reason)


def machine() -> dict[str, Any]:
    """Describe what the figures were measured on."""
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in LIBRARIES},
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor()


def save(name: str, figures: Sequence[Figure], **more: Any) -> None:
    """Write `docs/performance/<name>.json`."""
    FOLDER.mkdir(exist_ok=True)
    content = {"machine": machine(), "figures": [asdict(figure) for figure in figures], **more}
    (FOLDER / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def load(name: str) -> dict[str, Any] | None:
    """Return what was measured last, or None where nothing was."""
    file = FOLDER / f"{name}.json"
    if not file.exists():
        return None
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content


def figures(content: dict[str, Any]) -> list[Figure]:
    return [Figure(**figure) for figure in content["figures"]]
