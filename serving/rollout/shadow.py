"""A candidate in the shadow: it answers what the served version answered, and nobody waits for it.

It runs in a process of its own, at the lowest priority and for at most a quarter of its time, so that one
that fails, hangs or is slow costs no answer anything. What it has no time for is dropped and counted. Both
sides write lines of JSON: encoded rows go in, indexes, probabilities and seconds come out.
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

from bundle.encoding import Matrix
from bundle.errors import BundleError
from serving.inference.catalogue import Answer, ServedModel, load_model
from serving.inference.engine import EngineError
from serving.inference.faults import candidate_wrapper
from serving.metrics.vocabulary import LATENCY_BUCKETS, Vocabulary
from serving.setting_groups import RolloutSettings
from serving.settings import PROJECT

log = logging.getLogger("serving")

MOST_WAITING = 512
"""Rows that may wait for the candidate; further ones are dropped."""

TOGETHER = 32
LINE_SECONDS = 0.2
"""Rows of a line, and its least time: while one is written and compared requests wait, so few of them may."""

START_SECONDS = 30
ANSWER_SECONDS = 5
"""How long the candidate may take for the rows of a line, before its process is ended."""

LEAST_PAUSE, MOST_PAUSE = 1, 60
"""Seconds until a process that ended is started again; doubled as long as none answers."""

WORK_SHARE = 0.25
LOWEST_PRIORITY = 19
LINE_LIMIT = 1 << 22
DIFFERENCES = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)


class Shadow:
    """Has a candidate answer what the served version answered, and counts where they differ."""

    def __init__(self, served: ServedModel, settings: RolloutSettings, vocabulary: Vocabulary) -> None:
        declaration, version = served.declaration, settings.version
        folder = settings.models_folder / declaration.name
        self._command = [sys.executable, "-m", "serving.rollout.shadow", str(folder), version]
        self._command += [] if served.threshold is None else ["--threshold", str(served.threshold)]
        if settings.fault_file:
            self._command += ["--fault-file", str(settings.fault_file)]
        self._waiting: deque[tuple[list[float], Answer]] = deque()
        self._some = asyncio.Event()
        self._origin = origin = {"model": declaration.name, "version": version}
        self._agreed, self._disagreed, self._failed, self._dropped = (
            vocabulary.counter(declaration, "shadow_rows", outcome=outcome, **origin)
            for outcome in ("agreed", "disagreed", "failed", "dropped")
        )
        self._difference = vocabulary.histogram(declaration, "shadow_difference", DIFFERENCES, **origin)
        self._duration = vocabulary.histogram(declaration, "shadow_duration", LATENCY_BUCKETS, **origin)
        self._set_up = vocabulary.gauge(declaration, "shadow_up", "livemin", **origin)
        self._set_up(0)

    def row(self, values: list[float], answer: Answer) -> None:
        """Show the candidate a row that the served version answered."""
        if len(self._waiting) < MOST_WAITING:
            self._waiting.append((values, answer))
            self._some.set()
        else:
            self._dropped(1)

    def rows(self, matrix: Matrix, answers: Sequence[Answer]) -> None:
        """Show the candidate as many rows of a batch as there is room for."""
        room = MOST_WAITING - len(self._waiting)
        self._waiting.extend(zip(matrix[:room].tolist(), answers[:room], strict=True))
        self._dropped(max(0, len(answers) - room))
        self._some.set()

    async def run(self) -> None:
        """Keep a process that answers, for as long as the server runs."""
        pause = LEAST_PAUSE
        while True:
            try:
                async with candidate_process(self._command) as process:
                    await read_line(process, START_SECONDS)
                    self._set_up(1)
                    log.info("candidate in the shadow", extra={"fields": self._origin})
                    while True:
                        await self._ask(process)
                        pause = LEAST_PAUSE
            except Exception as error:  # noqa: BLE001  # whatever goes wrong in the shadow stays there
                self._set_up(0)
                cause = {"cause": str(error) or "no answer in time"}
                log.error("candidate failed in the shadow", extra={"fields": self._origin | cause})  # noqa: TRY400
            await asyncio.sleep(pause)
            pause = min(2 * pause, MOST_PAUSE)

    async def _ask(self, process: Process) -> None:
        """Have the rows that wait answered, as many as go together, and let the candidate rest."""
        await self._some.wait()
        asked = [self._waiting.popleft() for _ in range(min(TOGETHER, len(self._waiting)))]
        if not self._waiting:
            self._some.clear()
        start = monotonic()
        try:
            process.stdin.write(json.dumps([values for values, _ in asked]).encode() + b"\n")  # type: ignore[union-attr]
            answered = json.loads(await read_line(process, ANSWER_SECONDS))
        except (OSError, ValueError):
            self._failed(len(asked))
            raise
        for (_, answer), its in zip(asked, answered, strict=True):
            self._compare(answer, its)
        await asyncio.sleep(max(LINE_SECONDS, (monotonic() - start) * (1 / WORK_SHARE - 1)))

    def _compare(self, answer: Answer, its: dict[str, Any] | None) -> None:
        """Count what the candidate made of a row; None where it failed."""
        if its is None:
            self._failed(1)
            return
        (self._agreed if its["index"] == answer.index else self._disagreed)(1)
        pairs = zip(answer.probabilities, its["probabilities"], strict=True)
        self._difference(max(abs(a - b) for a, b in pairs))
        self._duration(its["seconds"])


@asynccontextmanager
async def candidate_process(command: Sequence[str]) -> AsyncIterator[Process]:
    """Run a command whose input and output are pipes; it is gone when the context ends."""
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
    """Return a line of what the process says; OSError where none comes in time, or it has ended."""
    async with asyncio.timeout(seconds):
        line: bytes = await process.stdout.readline()  # type: ignore[union-attr]
    if not line:
        raise OSError(f"its process ended with {await process.wait()}")
    return line


def answer_lines(model: ServedModel) -> None:
    """Answer each line of rows on standard input with one on standard output, until there are no more."""
    print("ready", flush=True)
    for line in sys.stdin:
        signal.alarm(2 * ANSWER_SECONDS)  # ends a process that hangs when nobody is left to end it
        print(json.dumps([answer_row(model, values) for values in json.loads(line)]), flush=True)
        signal.alarm(0)


def answer_row(model: ServedModel, values: list[float]) -> dict[str, Any] | None:
    start = perf_counter()
    try:
        answer = model.predict_row(values)
    except EngineError:
        return None
    seconds = perf_counter() - start
    return {"index": answer.index, "probabilities": answer.probabilities, "seconds": seconds}


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
    answer_lines(model)


if __name__ == "__main__":
    main()
