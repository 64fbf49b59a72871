"""Injected faults, for alert demonstrations and tests: off by default, not allowed in production, seeded."""

import asyncio
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bundle.encoding import Matrix
from serving.errors import InternalError
from serving.inference.engine import Engine, EngineError
from serving.metrics.vocabulary import Vocabulary
from serving.request import RequestRecord
from serving.setting_groups import FaultSettings


class Faults:
    """Delays predictions, fails some of them, and reports some that succeed as failed."""

    def __init__(self, settings: FaultSettings, vocabulary: Vocabulary) -> None:
        self._settings = settings
        self._random = random.Random(settings.seed)
        strength = vocabulary.own_gauge(
            "fault_injection",
            "Strength of an injected fault; absent where there is none.",
            ["fault"],
            across_workers="livemax",
        )
        for name, value in settings.active.items():
            strength.labels(name).set(value)

    async def inject(self, record: RequestRecord) -> None:
        """Inject the faults of the settings before a prediction; InternalError for a failed one."""
        if self._settings.latency_seconds:
            await asyncio.sleep(self._settings.latency_seconds)
        if self._random.random() < self._settings.error_rate:
            raise InternalError("A fault was injected (FAULT_ERROR_RATE).", cause="injected fault")
        if self._random.random() < self._settings.simulated_error_rate:
            record.error_type = InternalError.__name__
            record.log.add(simulated_error=True)


def with_faults(settings: FaultSettings, engine: Engine, *, candidate: bool) -> Engine:
    """Return the engine with faults that files switch on, and a candidate's engine with its faults."""
    if settings.engine_file:
        engine = BreakableEngine(engine, settings.engine_file)
    return candidate_wrapper(settings.candidate_file if candidate else None)(engine)


def candidate_wrapper(file: Path | None) -> Callable[[Engine], Engine]:
    return (lambda engine: BreakableCandidate(engine, file)) if file else (lambda engine: engine)


class BreakableCandidate:
    """A candidate's engine that does what a file says while it exists (FAULT_CANDIDATE_FILE).

    `raise` fails, `slow` takes ten times as long, and `hang` never answers.
    """

    def __init__(self, engine: Engine, file: Path) -> None:
        self._engine = engine
        self._file = file

    def probabilities(self, matrix: Matrix) -> NDArray[np.floating]:
        return self._engine.probabilities(matrix)

    def row(self, values: Sequence[float]) -> list[float]:
        fault = self._file.read_text(encoding="utf-8").strip() if self._file.exists() else ""
        if fault == "raise":
            raise EngineError("injected fault: the file of FAULT_CANDIDATE_FILE says so")
        while fault == "hang":
            pass
        for _ in range(9 if fault == "slow" else 0):
            self._engine.row(values)
        return self._engine.row(values)


class BreakableEngine:
    """An engine that fails while a file exists (FAULT_ENGINE_FILE)."""

    def __init__(self, engine: Engine, file: Path) -> None:
        self._engine = engine
        self._file = file

    def probabilities(self, matrix: Matrix) -> NDArray[np.floating]:
        self._fail_on_purpose()
        return self._engine.probabilities(matrix)

    def row(self, values: Sequence[float]) -> list[float]:
        self._fail_on_purpose()
        return self._engine.row(values)

    def _fail_on_purpose(self) -> None:
        if self._file.exists():
            raise EngineError("injected fault: the file of FAULT_ENGINE_FILE exists")
