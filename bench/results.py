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
class Measurement:
    """A median with the lowest and highest of its rounds, and the goal it is held to.

    `goal` is "at most 2.5" or "at least 20"; `reason` is what was measured where a goal is not met. A
    `difference` of two measurements is below their noise if its rounds lie on both sides of zero.
    """

    what: str
    value: float
    unit: str
    low: float
    high: float
    goal: str = ""
    reason: str = ""
    difference: bool = False

    @property
    def measurable(self) -> bool:
        return not self.difference or not self.low <= 0 <= self.high

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None without a goal, or where noise hides the value."""
        if not self.goal or not self.measurable:
            return None
        bound = float(self.goal.split()[-1].replace(",", ""))
        return self.value <= bound if self.goal.startswith("at most") else self.value >= bound


def of_rounds(
    what: str,
    rounds: Sequence[float],
    unit: str,
    goal: str = "",
    reason: str = "",
    *,
    difference: bool = False,
) -> Measurement:
    """Return the median of several rounds with its spread."""
    return Measurement(what, median(rounds), unit, min(rounds), max(rounds), goal, reason, difference)


def other_load() -> float:
    """Return how busy the machine is before anything is measured, in percent of all its cores over 3 s."""
    return psutil.cpu_percent(interval=3)


def machine() -> dict[str, Any]:
    """Describe the machine of the measurements."""
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


def save(name: str, measurements: Sequence[Measurement], busy_percent: float, **more: Any) -> None:
    """Write `docs/performance/<name>.json`; `busy_percent` is `other_load` before the first measurement."""
    FOLDER.mkdir(exist_ok=True)
    content = {
        "machine": machine() | {"busy_percent_before": busy_percent},
        "measurements": [asdict(measurement) for measurement in measurements],
        **more,
    }
    (FOLDER / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def load(name: str) -> dict[str, Any] | None:
    """Return what was measured last, or None where nothing was."""
    file = FOLDER / f"{name}.json"
    if not file.exists():
        return None
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content


def measurements(content: dict[str, Any]) -> list[Measurement]:
    return [Measurement(**measurement) for measurement in content["measurements"]]
