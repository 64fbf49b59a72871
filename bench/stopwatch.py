"""Our server with a stopwatch around the signing of each id: `python -m bench.stopwatch FILE`.

On SIGUSR1 it writes the seconds of each into the file, less what the stopwatch itself takes.
"""

import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

from serving.feedback import service
from serving.feedback.prediction_ids import id_writer
from serving.feedback.signing_keys import Keys
from serving.inference.catalogue import Prediction, ServedModel
from serving.main import run

taken: list[float] = []
nothing: list[float] = []


def stopped_id_writer(
    keys: Keys, model: ServedModel, counted: list[int] | None = None
) -> Callable[[Prediction], str]:
    write = id_writer(keys, model, counted)

    def stopped(prediction: Prediction) -> str:
        begin = perf_counter()
        started = perf_counter()
        written = write(prediction)
        ended = perf_counter()
        nothing.append(started - begin)
        taken.append(ended - started)
        return written

    return stopped


def report(*_: object) -> None:
    less = median(nothing)
    Path(sys.argv[1]).write_text(json.dumps([seconds - less for seconds in taken]), encoding="utf-8")
    taken.clear()
    nothing.clear()


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, report)
    service.id_writer = stopped_id_writer  # type: ignore[attr-defined]
    sys.exit(run())
