"""A candidate in the shadow: it predicts mirrored rows, and no response waits for it.

It runs in a process of its own, at the lowest priority and for at most a quarter of the time, so that a
candidate that fails, hangs or is slow delays no response. Rows that it has no time for are dropped, and
counted. The processes exchange lines of JSON: encoded rows, and class indexes, probabilities and seconds.
"""

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any

from bundle.concepts import (
    LATENCY_BUCKETS,
    SHADOW_DIFFERENCE,
    SHADOW_DURATION,
    SHADOW_ROWS,
    SHADOW_UP,
)
from bundle.encoding import Matrix
from bundle.errors import BundleError
from serving.inference.catalogue import Prediction, ServedModel, load_model
from serving.inference.engine import EngineError
from serving.inference.faults import candidate_wrapper
from serving.metrics.vocabulary import Vocabulary
from serving.setting_groups import RolloutSettings
from serving.settings import PROJECT

log = logging.getLogger("serving")

MOST_WAITING = 512
"""Rows that may wait for the candidate; further ones are dropped."""

LINE_ROWS = 32
LINE_SECONDS = 0.2
"""Most rows of a line, and least seconds a line: requests wait while one is written and compared."""

START_SECONDS = 30
ANSWER_SECONDS = 5
"""How long the candidate may take for a line, before its process is killed."""

LEAST_PAUSE, MOST_PAUSE = 1, 60
"""Seconds until a process that ended is restarted; doubled until one answers."""

WORK_SHARE = 0.25
LOWEST_PRIORITY = 19
LINE_LIMIT = 1 << 22
DIFFERENCES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)


class Shadow:
    """Mirrors the rows of the served version to a candidate, and counts where their predictions differ."""

    def __init__(self, served: ServedModel, settings: RolloutSettings, vocabulary: Vocabulary) -> None:
        declaration, version = served.declaration, settings.version
        folder = settings.models_folder / declaration.name
        self._command = [sys.executable, "-m", "serving.rollout.shadow", str(folder), version]
        self._command += [] if served.threshold is None else ["--threshold", str(served.threshold)]
        if settings.fault_file:
            self._command += ["--fault-file", str(settings.fault_file)]
        self._waiting: deque[tuple[list[float], Prediction]] = deque()
        self._any_waiting = asyncio.Event()
        self._origin = origin = {"model": declaration.name, "version": version}
        self._count_agreed, self._count_disagreed, self._count_failed, self._count_dropped = (
            vocabulary.counter(declaration, SHADOW_ROWS, outcome=outcome, **origin)
            for outcome in ("agreed", "disagreed", "failed", "dropped")
        )
        self._observe_difference = vocabulary.histogram(declaration, SHADOW_DIFFERENCE, DIFFERENCES, **origin)
        self._observe_duration = vocabulary.histogram(declaration, SHADOW_DURATION, LATENCY_BUCKETS, **origin)
        self._set_up = vocabulary.gauge(declaration, SHADOW_UP, **origin)
        self._set_up(0)

    def mirror_row(self, values: list[float], prediction: Prediction) -> None:
        """Mirror a row that the served version predicted."""
        if len(self._waiting) < MOST_WAITING:
            self._waiting.append((values, prediction))
            self._any_waiting.set()
        else:
            self._count_dropped(1)

    def mirror_rows(self, matrix: Matrix, predictions: Sequence[Prediction]) -> None:
        """Mirror as many rows of a batch as there is room for."""
        room = MOST_WAITING - len(self._waiting)
        self._waiting.extend(zip(matrix[:room].tolist(), predictions[:room], strict=True))
        self._count_dropped(max(0, len(predictions) - room))
        self._any_waiting.set()

    async def run(self) -> None:
        """Keep a candidate process running for as long as the server runs."""
        pause = LEAST_PAUSE
        while True:
            try:
                async with candidate_process(self._command) as process:
                    await read_line(process, START_SECONDS)
                    self._set_up(1)
                    log.info("candidate in the shadow", extra={"fields": self._origin})
                    while True:
                        await self._exchange_line(process)
                        pause = LEAST_PAUSE
            except Exception as error:  # noqa: BLE001  # whatever goes wrong in the shadow stays there
                self._set_up(0)
                cause = {"cause": str(error) or "no answer in time"}
                log.error("candidate failed in the shadow", extra={"fields": self._origin | cause})  # noqa: TRY400
            await asyncio.sleep(pause)
            pause = min(2 * pause, MOST_PAUSE)

    async def _exchange_line(self, process: Process) -> None:
        """Have the candidate predict waiting rows, compare them, and let it rest."""
        await self._any_waiting.wait()
        sent = [self._waiting.popleft() for _ in range(min(LINE_ROWS, len(self._waiting)))]
        if not self._waiting:
            self._any_waiting.clear()
        start = monotonic()
        try:
            process.stdin.write(json.dumps([values for values, _ in sent]).encode() + b"\n")  # type: ignore[union-attr]
            received = json.loads(await read_line(process, ANSWER_SECONDS))
        except (OSError, ValueError):
            self._count_failed(len(sent))
            raise
        for (_, served), shadowed in zip(sent, received, strict=True):
            self._compare(served, shadowed)
        await asyncio.sleep(max(LINE_SECONDS, (monotonic() - start) * (1 / WORK_SHARE - 1)))

    def _compare(self, served: Prediction, shadowed: dict[str, Any] | None) -> None:
        """Count how the two predictions of a row differ; None where the candidate failed."""
        if shadowed is None:
            self._count_failed(1)
            return
        (self._count_agreed if shadowed["index"] == served.class_index else self._count_disagreed)(1)
        pairs = zip(served.probabilities, shadowed["probabilities"], strict=True)
        self._observe_difference(max(abs(a - b) for a, b in pairs))
        self._observe_duration(shadowed["seconds"])


@asynccontextmanager
async def candidate_process(command: Sequence[str]) -> AsyncIterator[Process]:
    """Run a command with pipes for input and output; it is killed when the context ends."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=PIPE, stdout=PIPE, cwd=PROJECT, limit=LINE_LIMIT
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def read_line(process: Process, seconds: float) -> bytes:
    """Return a line of the process's output; OSError where none comes in time, or the process has ended."""
    async with asyncio.timeout(seconds):
        line: bytes = await process.stdout.readline()  # type: ignore[union-attr]
    if not line:
        raise OSError(f"the candidate's process ended with {await process.wait()}")
    return line


def predict_lines(model: ServedModel) -> None:
    """Answer each line of rows on standard input with a line of predictions on standard output."""
    print("ready", flush=True)
    for line in sys.stdin:
        signal.alarm(2 * ANSWER_SECONDS)  # ends a process that hangs when nobody is left to end it
        print(json.dumps([predict_row(model, values) for values in json.loads(line)]), flush=True)
        signal.alarm(0)


def predict_row(model: ServedModel, values: list[float]) -> dict[str, Any] | None:
    start = perf_counter()
    try:
        prediction = model.predict_row(values)
    except EngineError:
        return None
    seconds = perf_counter() - start
    return {"index": prediction.class_index, "probabilities": prediction.probabilities, "seconds": seconds}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m serving.rollout.shadow", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("version")
    parser.add_argument("--threshold", type=float)
    parser.add_argument("--fault-file", type=Path)
    arguments = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which then ends this
    os.nice(LOWEST_PRIORITY)
    wrap = candidate_wrapper(arguments.fault_file)
    try:
        model = load_model(arguments.folder, arguments.version, arguments.threshold, wrap)
    except BundleError as error:
        sys.exit(f"error: {error}")
    predict_lines(model)


if __name__ == "__main__":
    main()
