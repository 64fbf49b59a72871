"""Measures goodput under more load than a server takes: an open loop at multiples of its peak.

bench/offered.py runs in a process of its own; a rate that it offers late measures the generator,
not the server. What a server with one core could answer at most follows from what an answer and a
refusal cost: the first is measured in a closed loop, the second at twice the peak.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from statistics import median
from typing import Any

from bench.against import environment, peers, started
from bench.load import PROJECT, BenchError, MeasuredServer
from bench.offered import WARM_SECONDS
from bench.ours import OURS, Say, rows_of_batch
from bench.results import Measurement, of_rounds, other_load, save

ROUNDS, SECONDS = 2, 2
LOADS = (0.25, 0.5, 1.0, 1.5, 2.0, 4.0)
MOST_LATE_SECONDS = 0.25
SATURATING_CONNECTIONS = 16
FIRST_RATE = 400.0

OWN = ("ours, batches of 100", "ours, single rows")

Seen = dict[str, Any]


def run(say: Say) -> None:
    """Measure ours and two peers, and write docs/performance/overload.json."""
    busy = other_load()
    curves: dict[str, Any] = {}
    with ExitStack() as running:
        servers = started_servers(running)
        peaks = {name: peak(server) for name, server in servers.items()}
        seen: dict[str, list[list[Seen]]] = {name: [] for name in servers}
        for turn in range(ROUNDS):
            for name, server in servers.items():
                say(f"round {turn + 1}, {name}, peak {peaks[name]:,.0f} a second ...")
                seen[name].append([offered(server, load * peaks[name]) for load in LOADS])
        costs = {name: servers[name].load(SECONDS, SATURATING_CONNECTIONS).cpu for name in OWN}
        closed = closed_loop(servers["ours, single rows"])
    for name, cost in costs.items():
        for points in seen[name]:
            add_ceilings(points, cost)
    for name, rounds in seen.items():
        curves[name] = [point([points[place] for points in rounds]) for place in range(len(LOADS))]
    save(
        "overload",
        [*goals(*(seen[name] for name in OWN)), closed],
        busy,
        curves=curves,
    )


def started_servers(running: ExitStack) -> dict[str, MeasuredServer]:
    batch = rows_of_batch(100)
    found = {peer.folder: peer for peer in peers()}
    ours = (MeasuredServer(OURS, path="/predict/batch", body=batch), MeasuredServer(OURS))
    servers = {name: running.enter_context(server) for name, server in zip(OWN, ours, strict=True)}
    for folder, name in (
        ("mlserver", "MLServer, batches of 100"),
        ("tutorial", "the tutorial way, single rows"),
    ):
        servers[name] = started(found[folder], environment(folder), running)
    values = [float(value) for row in batch["instances"] for value in row.values()]  # type: ignore[attr-defined]
    tensor = {"name": "predict", "shape": [100, 13], "datatype": "FP64", "data": values}
    servers["MLServer, batches of 100"].body = json.dumps(
        {"inputs": [tensor], "outputs": [{"name": "predict_proba"}]}
    ).encode()
    return servers


def offered(server: MeasuredServer, rate: float) -> Seen:
    """Offer a rate; BenchError where the generator cannot."""
    command = [sys.executable, "-m", "bench.offered", str(server.port), server.path, str(rate), str(SECONDS)]
    before = server.cpu_seconds()
    done = subprocess.run(
        command, input=server.body, capture_output=True, check=False, cwd=PROJECT, timeout=60
    )
    if done.returncode:
        raise BenchError(f"the generator failed: {done.stderr.decode()[-500:]}")
    seen: Seen = json.loads(done.stdout)
    check_pace(rate, float(seen["late"]))
    seen["cpu"] = (server.cpu_seconds() - before) / (WARM_SECONDS + SECONDS)
    return seen


def check_pace(rate: float, late: float) -> None:
    if late > MOST_LATE_SECONDS:
        raise BenchError(
            f"the generator was {late:.2f} s late at {rate:,.0f} requests a second: use a quieter machine"
        )


def peak(server: MeasuredServer) -> float:
    """Double or halve the offered rate until goodput no longer follows it, and return the best goodput."""
    rate, best = FIRST_RATE, 0.0
    while offered(server, rate)["answered"] < 0.8 * rate:
        rate /= 2
    while True:
        goodput = float(offered(server, rate)["answered"])
        best = max(best, goodput)
        if goodput < 0.8 * rate:
            return best
        rate *= 2


def add_ceilings(points: Sequence[Seen], answer: float) -> None:
    """Add what could be answered at most, where an answer costs so many CPU seconds; in place."""
    twice = points[LOADS.index(2.0)]
    refusal = (twice["cpu"] - twice["answered"] * answer) / shed(twice) if shed(twice) else 0.0
    for seen in points:
        most = (1 - (seen["answered"] + shed(seen)) * refusal) / (answer - refusal)
        seen["ceiling"] = min(seen["offered"], most)


def shed(seen: Seen) -> float:
    """Return how many requests a second were refused."""
    return float(seen["statuses"].get("429", 0) / SECONDS)


def closed_loop(server: MeasuredServer) -> Measurement:
    ratios = []
    for _ in range(ROUNDS + 1):
        few, many = (server.load(SECONDS, times * SATURATING_CONNECTIONS) for times in (1, 4))
        ratios.append((many.requests / many.seconds) / (few.requests / few.seconds))
    return of_rounds("single rows, closed loop, 64 connections as a multiple of 16", ratios[1:], "x")


def point(rounds: Sequence[Seen]) -> Seen:
    """Return the medians of one offered load."""
    found: Seen = {
        name: median(seen[name] for seen in rounds)
        for name in ("offered", "answered", "ceiling")
        if name in rounds[0]
    }
    for name in ("p50", "p99"):
        known = [seen[name] for seen in rounds if seen[name] is not None]
        found[name] = median(known) if known else None
    for name, status in (("shed", "429"), ("unsent", "no connection")):
        found[name] = median(
            seen["statuses"].get(status, 0) / (sum(seen["statuses"].values()) or 1) for seen in rounds
        )
    return found


def goals(batches: Sequence[Sequence[Seen]], rows: Sequence[Sequence[Seen]]) -> list[Measurement]:
    half, most = LOADS.index(0.5), LOADS.index(4.0)

    def kept(rounds: Sequence[Sequence[Seen]]) -> list[float]:
        return [points[most]["answered"] / max(seen["answered"] for seen in points) for points in rounds]

    def allowed(rounds: Sequence[Sequence[Seen]]) -> list[float]:
        return [points[most]["answered"] / points[most]["ceiling"] for points in rounds]

    if any(points[place]["p99"] is None for points in batches for place in (half, most)):
        raise BenchError("no batch was accepted: the server answers nothing under load")
    slower = [points[most]["p99"] / points[half]["p99"] for points in batches]
    what, single = (f"{kind}, offered four times the peak" for kind in ("batches of 100 rows", "single rows"))
    return [
        of_rounds(f"{what}: goodput as a multiple of the peak", kept(batches), "x", "at least 0.8"),
        of_rounds(f"{what}: p99 of accepted as a multiple of that at half load", slower, "x", "at most 5"),
        of_rounds(f"{what}: goodput as a multiple of what costs allow", allowed(batches), "x"),
        of_rounds(f"{single}: goodput as a multiple of the peak", kept(rows), "x"),
        of_rounds(f"{single}: goodput as a multiple of what costs allow", allowed(rows), "x"),
    ]
