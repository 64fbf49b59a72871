"""Measures our server and its engines: every goal, and how cost grows. Ratios are taken within a round."""

import json
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from secrets import token_hex
from statistics import median
from urllib.request import urlopen

import joblib
import numpy as np
from prometheus_client import CollectorRegistry

from bench.load import PROJECT, START_SECONDS, BenchError, Load, MeasuredServer, example
from bench.results import Measurement, of_rounds
from bench.wide import train_wide
from serving.feedback.prediction_ids import id_writer
from serving.feedback.signing_keys import Keys
from serving.inference.catalogue import ServedModel, load_model
from serving.inference.drift import TOGETHER, DriftCounts
from serving.metrics.vocabulary import Vocabulary
from training.export import generate_rows

ECHO = ["-m", "uvicorn", "bench.echo:app", "--port", "{port}", "--no-access-log", "--log-level", "warning"]
OURS = ["api_server.py"]
MODELS = PROJECT / "models"
ROUNDS = 5
SHADOW_ROUNDS, SHADOW_SECONDS = 10, 3
SETS, ROUNDS_OF_SET = 5, 3
SECONDS = 2
SCRAPES = 500
MANY, VERY_MANY = 100_000, 1_000_000

TREES_IN_BATCHES = (
    "scikit-learn walks these shallow trees in compiled code at about 3 ns a tree and row, ONNX Runtime on "
    "one thread at about 8 (2.6 and 6.3 ms for the 80 trees of fraud)"
)
LOG_LINE = (
    "left out by themselves, the write system call is 2.5 % and the making of the line 5.5 %; one write for "
    "all lines of a turn of the event loop gained 1 %, for which lines would come late"
)
IRIS_IN_BATCHES = "scikit-learn's own pipeline takes 0.1 us a row here: four products and a softmax"

Say = Callable[[str], None]
Points = list[tuple[float, float, float]]
"""Of a growth curve: where, requests (or rows) a second, p99 in seconds."""


def measure(say: Say) -> list[Measurement]:
    """Return every measurement, in the order of the table."""
    steps = [
        cost,
        latency,
        shadows,
        engines,
        drift,
        ids,
        explanations,
        batches,
        start,
        memory,
        workers,
        scrapes,
    ]
    measurements = []
    for step in steps:
        say(f"{step.__name__} ...")
        for measurement in step():
            say(f"  {measurement.what}: {measurement.value:.4g} {measurement.unit}")
            measurements.append(measurement)
    return measurements


def cost() -> Iterator[Measurement]:
    """CPU of one request over 16 connections, as a multiple of the echo's in the same round."""
    rounds = []
    for _ in range(SETS):  # two processes of the same program differ by a few per cent
        with ExitStack() as running, without_metrics() as unmeasured, feedback_settings() as feedback:
            start = running.enter_context
            echo = start(MeasuredServer(ECHO))
            whole = start(MeasuredServer(OURS))
            silent = start(MeasuredServer(OURS, LOG_LEVEL="error"))
            uncounted = start(MeasuredServer(OURS, MODELS_DIR=str(unmeasured)))
            identified = start(MeasuredServer(OURS, **feedback))  # type: ignore[arg-type]
            for turn in range(ROUNDS_OF_SET + 1):
                servers = (echo, whole, silent, uncounted, identified)
                costs = [server.load(SECONDS).cpu for server in servers]
                if turn:  # the first round warms up
                    rounds.append(costs)
    yield of_rounds("CPU of a bare uvicorn echo's request", [costs[0] * 1e6 for costs in rounds], "us")
    yield of_rounds("CPU of `POST /predict`", [costs[1] * 1e6 for costs in rounds], "us")
    yield of_rounds(
        "CPU of `POST /predict`, metrics, request id and a log line included, as a multiple of the echo's",
        [costs[1] / costs[0] for costs in rounds],
        "x",
        "at most 2.5",
    )
    yield of_rounds(
        "share of metrics in it",
        [100 * (1 - costs[3] / costs[1]) for costs in rounds],
        "%",
        "at most 6",
        difference=True,
    )
    yield of_rounds(
        "share of the log line in it",
        [100 * (1 - costs[2] / costs[1]) for costs in rounds],
        "%",
        "at most 6",
        LOG_LINE,
        difference=True,
    )
    yield of_rounds(
        "CPU that signing a prediction id adds to a request",
        [(costs[4] - costs[1]) * 1e6 for costs in rounds],
        "us",
        difference=True,
    )


@contextmanager
def feedback_settings() -> Iterator[dict[str, str]]:
    """Give settings of a server that takes outcomes."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "2026-01-01").write_text(token_hex(32), encoding="utf-8")
        yield {"FEEDBACK_DATABASE": f"sqlite:///{folder}/outcomes.db", "FEEDBACK_KEYS": folder}


@contextmanager
def without_metrics() -> Iterator[Path]:
    """Give a folder of models whose vocabulary is empty, so that nothing is counted."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "heart-disease"
        shutil.copytree(MODELS / "heart-disease", copy)
        file = copy / "model.toml"
        head, metrics, _ = file.read_text(encoding="utf-8").partition("[metrics.")
        if not metrics:
            raise BenchError(f"{file} names no metrics")
        file.write_text(f"{head}[metrics]\n", encoding="utf-8")
        yield Path(folder)


def latency() -> Iterator[Measurement]:
    with MeasuredServer(OURS) as server:
        server.load(1)
        for connections in (1, 64):
            loads = [server.load(SECONDS, connections) for _ in range(ROUNDS)]
            plural = "s" if connections > 1 else ""
            yield of_rounds(
                f"p50 at {connections} connection{plural}", [load.p50 * 1e3 for load in loads], "ms"
            )
            yield of_rounds(
                f"p99 / p50 at {connections} connection{plural}",
                [load.p99 / load.p50 for load in loads],
                "x",
                "at most 3",
            )


def shadows() -> Iterator[Measurement]:
    """p99 of served answers with a candidate in the shadow, whole or broken, against none in that round."""
    row = load_model(MODELS / "churn").declaration.example
    served = {"MODEL": "churn", "MODEL_VERSION": "v1"}
    with ExitStack() as running, tempfile.TemporaryDirectory() as folder:
        alone = running.enter_context(MeasuredServer(OURS, body=row, **served))  # type: ignore[arg-type]
        for fault, what in (
            (None, ""),  # how far two equal servers are apart
            ("", "works"),
            ("raise", "raises"),
            ("hang", "hangs"),
            ("slow", "is ten times slower"),
        ):
            file = Path(folder) / f"fault-{fault}"
            shadow = {"CANDIDATE_VERSION": "v2", "SHADOW": "true", "FAULT_CANDIDATE_FILE": str(file)}
            settings = served if fault is None else served | shadow
            with MeasuredServer(OURS, body=row, **settings) as server:  # type: ignore[arg-type]
                if fault is not None:
                    wait_for_shadow(server)
                if fault:
                    file.write_text(fault, encoding="utf-8")
                rounds = [
                    (server.p99(SHADOW_SECONDS, 4), alone.p99(SHADOW_SECONDS, 4))
                    for _ in range(SHADOW_ROUNDS)
                ]
                private = [process.memory_full_info().uss / 2**20 for process in server.processes()[1:]]
            ratios = [shadowed / plain for shadowed, plain in rounds[1:]]
            if fault is None:
                yield of_rounds("p99 of two equal servers, of one as a multiple of the other's", ratios, "x")
                continue
            name = f"p99 with a candidate in the shadow that {what}, as a multiple of that without"
            yield of_rounds(name, ratios, "x", "at most 1.1")
            if not fault:
                yield of_rounds("memory of the candidate's process alone", private, "MiB")


def wait_for_shadow(server: MeasuredServer) -> None:
    """Wait until the candidate answers; BenchError where it does not."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with urlopen(f"http://127.0.0.1:{server.port}/metrics") as answer:  # a loopback address
            if re.search(rb"(?m)^shadow_up{.*} 1.0$", answer.read()):
                return
        time.sleep(0.1)
    raise BenchError("the candidate does not come up in the shadow")


def engines() -> Iterator[Measurement]:
    """One encoded row, and 10,000 at once against scikit-learn, engine alone."""
    for name, version, row_goal, batch_goal, reason in (
        ("heart-disease", "v1", "at most 2", "at least 20", ""),
        ("churn", "v1", "", "at least 20", ""),
        ("iris", "v1", "", "at least 20", IRIS_IN_BATCHES),
        ("churn", "v2", "at most 15", "at least 3", TREES_IN_BATCHES),
        ("fraud", "v1", "at most 15", "at least 3", TREES_IN_BATCHES),
    ):
        model = load_model(MODELS / name, version)
        yield of_rounds(f"engine, one row of {name} {version}, p50", row_times(model), "us", row_goal)
        pipeline = joblib.load(MODELS / name / version / "model.joblib")
        rows = generate_rows(model.declaration, model.manifest.distribution)
        theirs, mine = partial(pipeline.predict_proba, rows), partial(model.engine.probabilities, rows)
        ratios = [seconds(theirs) / seconds(mine) for _ in range(ROUNDS)]
        what = f"engine, {len(rows):,} rows of {name} {version} against predict_proba"
        yield of_rounds(what, ratios, "x as fast", batch_goal, reason)


def drift() -> Iterator[Measurement]:
    """What counting for drift adds to a row, and to each row of a batch."""
    for name in ("heart-disease", "churn"):
        model = load_model(MODELS / name)
        counts, row = DriftCounts(model, Vocabulary(CollectorRegistry())), model.declaration.example
        values, matrix = model.encode_row(row), model.encode([row] * 1000)
        answer, answers = model.predict_row(values), model.predict(matrix)
        alone = call_times(partial(counts.add_row, values, answer), calls=8 * TOGETHER, samples=20)
        yield of_rounds(f"counting a row of {name} for drift", alone, "us", "at most 3")
        batch = call_times(partial(counts.add_rows, matrix, answers), calls=1)
        yield of_rounds(
            f"counting a row of {name} for drift in a batch of 1,000",
            [microseconds / 1000 for microseconds in batch],
            "us",
        )


def ids() -> Iterator[Measurement]:
    """What an id adds to the writing of an answer."""
    with feedback_settings() as settings:
        keys = Keys(Path(settings["FEEDBACK_KEYS"]))
    model = load_model(MODELS / "heart-disease")
    answer = model.predict_row(model.encode_row(model.declaration.example))
    taken = call_times(partial(id_writer(keys, model), answer))
    yield of_rounds("signing a prediction's id, again and again, p50", taken, "us")
    yield of_rounds(
        "signing it in the course of a request, where little of it is in the processor's cache, p50",
        list(signings()),
        "us",
        "at most 3",
    )


def signings() -> Iterator[float]:
    """Give the median of each round in microseconds, as a stopwatch in the server saw it."""
    with feedback_settings() as settings, tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "seconds"
        with MeasuredServer(["-m", "bench.stopwatch", str(file)], **settings) as server:  # type: ignore[arg-type]
            for turn in range(ROUNDS + 1):
                server.load(SECONDS)
                file.unlink(missing_ok=True)
                server.processes()[0].send_signal(signal.SIGUSR1)
                server.post()  # whose turn of the event loop comes after the signal's
                while not file.exists():
                    time.sleep(0.01)
                server.post()
                if turn:
                    yield median(json.loads(file.read_text(encoding="utf-8"))) * 1e6


def explanations() -> Iterator[Measurement]:
    """What `?explain=true` takes more."""
    for name, version in (("heart-disease", "v1"), ("churn", "v2"), ("fraud", "v1")):
        model = load_model(MODELS / name, version)
        values = model.encode_row(model.declaration.example)
        taken = call_times(partial(model.explain, values, model.predict_row(values)), calls=1)
        yield of_rounds(
            f"explaining a row of {name} {version}, p50", [microseconds / 1e3 for microseconds in taken], "ms"
        )


def row_times(model: ServedModel) -> list[float]:
    return call_times(partial(model.engine.row, model.encode_row(model.declaration.example)))


def call_times(call: Callable[[], object], calls: int = 100, samples: int = 200) -> list[float]:
    """Return the p50 of each round in microseconds; a sample is some calls."""
    medians = []
    for _ in range(ROUNDS):
        taken = []
        for _ in range(samples):
            begin = time.perf_counter()
            for _ in range(calls):
                call()
            taken.append((time.perf_counter() - begin) / calls)
        medians.append(median(taken) * 1e6)
    return medians


def seconds(call: Callable[[], object], repeats: int = 5) -> float:
    """Return the median duration of a call."""
    taken = []
    for _ in range(repeats):
        begin = time.perf_counter()
        call()
        taken.append(time.perf_counter() - begin)
    return median(taken)


def rows_of_batch(number: int) -> dict[str, object]:
    """Return a batch of seeded rows that differ."""
    random = np.random.default_rng(0)
    ages = random.integers(30, 77, number).tolist()
    return {"instances": [example() | {"age": age, "chol": 200 + age} for age in ages]}


def batches() -> Iterator[Measurement]:
    with MeasuredServer(OURS) as server:
        batch = rows_of_batch(1000)
        loads = [server.load(SECONDS, 4, batch, "/predict/batch") for _ in range(ROUNDS + 1)][1:]
    yield of_rounds(
        "rows a CPU second in batches of 1,000 over HTTP",
        [1000 / load.cpu for load in loads],
        "rows",
        "at least 150,000",
    )


def start() -> Iterator[Measurement]:
    taken = []
    for _ in range(ROUNDS):
        with MeasuredServer(OURS) as server:
            taken.append(server.seconds_to_ready)
    yield of_rounds("start of the process to its first answer", taken, "s", "at most 0.6")


def memory() -> Iterator[Measurement]:
    with MeasuredServer(OURS) as server:
        answered, resident = 0, []
        for requests in (MANY, VERY_MANY):
            while answered < requests:
                answered += server.load(5, 64).requests
            resident.append(server.resident_mib())
    first, last = resident
    yield Measurement(f"resident memory after {MANY:,} requests", first, "MiB", first, first, "at most 90")
    grown = last - first
    yield Measurement(
        f"growth of memory from there to {VERY_MANY:,} requests", grown, "MiB", grown, grown, "at most 1"
    )


def workers() -> Iterator[Measurement]:
    with MeasuredServer(OURS) as one_worker, MeasuredServer(OURS, WORKERS="2") as two_workers:
        rounds = [(one_worker.load(SECONDS).cpu, two_workers.load(SECONDS).cpu) for _ in range(ROUNDS + 1)][
            1:
        ]
    yield of_rounds(
        "requests a CPU second of two workers against one", [a / b for a, b in rounds], "x", "at least 0.95"
    )


def scrapes() -> Iterator[Measurement]:
    with MeasuredServer(OURS) as server:
        server.load(1)
        address = f"http://127.0.0.1:{server.port}/metrics"
        with urlopen(address) as answer:  # a loopback address
            content = answer.read()
        series = sum(not line.startswith(b"#") for line in content.splitlines())
        taken = []
        for _ in range(ROUNDS):
            before = server.cpu_seconds()
            for _ in range(SCRAPES // ROUNDS):
                with urlopen(address) as answer:
                    answer.read()
            taken.append((server.cpu_seconds() - before) / (SCRAPES // ROUNDS) * 1e3)
    yield Measurement("series of a pod", series, "series", series, series, "at most 700")
    yield Measurement(
        "size of a scrape", len(content) / 1024, "KiB", len(content) / 1024, len(content) / 1024
    )
    yield of_rounds("CPU of a scrape", taken, "ms", "at most 3")


def growth(say: Say) -> dict[str, Points]:
    """Return how requests a second and p99 change with connections, rows in a batch, and features."""
    curves: dict[str, Points] = {"connections": [], "rows": [], "features": []}
    with MeasuredServer(OURS, MAX_ACTIVE_REQUESTS="2000") as server:
        for connections in (1, 4, 16, 64, 256, 1024):
            say(f"{connections} connections ...")
            curves["connections"].append(point(connections, 1, partial(server.load, 1, connections)))
    with MeasuredServer(OURS, MAX_BATCH_ROWS="10000", MAX_BODY_BYTES=str(2**24)) as server:
        for rows in (1, 10, 100, 1000, 10_000):
            say(f"batches of {rows} ...")
            batch = partial(server.load, 1, 1, rows_of_batch(rows), "/predict/batch")
            curves["rows"].append(point(rows, rows, batch))
    for features in (5, 20, 80, 200):
        say(f"{features} features ...")
        with tempfile.TemporaryDirectory() as folder:
            row = train_wide(Path(folder), features)
            with MeasuredServer(OURS, body=row, MODEL="wide", MODELS_DIR=folder) as server:
                curves["features"].append(point(features, 1, partial(server.load, 1)))
    return curves


def point(place: float, rows: int, put_load: Callable[[], Load]) -> tuple[float, float, float]:
    """Return rows a second and p99 at a place of a curve: medians of three rounds after one to warm up."""
    rounds = [put_load() for _ in range(4)][1:]
    rate = median(rows * load.requests / load.seconds for load in rounds)
    return place, rate, median(load.p99 for load in rounds)


def progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
