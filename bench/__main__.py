"""`make bench`: measures, prints the table, and writes it to docs/performance.md. About a minute."""

import os
import platform
from contextlib import ExitStack
from importlib.metadata import version
from statistics import median

from bench.load import PROJECT, MeasuredServer

ECHO = ["-m", "uvicorn", "bench.echo:app", "--port", "{port}", "--no-access-log", "--log-level", "warning"]
OURS = ["api_server.py"]
ROUNDS = 5
REQUESTS = 8000
MEMORY_REQUESTS = 20_000

Row = tuple[str, str, str]


def main() -> None:
    rows = [*cost_rows(), *latency_rows(), *start_rows(), *memory_rows()]
    text = report(rows)
    print(text)
    (PROJECT / "docs" / "performance.md").write_text(text, encoding="utf-8")


def cost_rows() -> list[Row]:
    """CPU of one request over 16 connections, as a multiple of the echo's in the same round."""
    settings = {"metrics and one log line a request": "info", "metrics, no log lines": "error"}
    ratios: dict[str, list[float]] = {name: [] for name in settings}
    echo_costs = []
    with ExitStack() as running:
        echo = running.enter_context(MeasuredServer(ECHO))
        servers = {
            name: running.enter_context(MeasuredServer(OURS, LOG_LEVEL=level, DRAIN_SECONDS="0"))
            for name, level in settings.items()
        }
        for turn in range(ROUNDS + 1):
            yardstick = echo.cpu_per_request(REQUESTS)
            costs = {name: server.cpu_per_request(REQUESTS) for name, server in servers.items()}
            if turn:  # the first round warms up
                echo_costs.append(yardstick)
                for name, cost in costs.items():
                    ratios[name].append(cost / yardstick)
    rows: list[Row] = [
        ("CPU of the echo's request", f"{median(echo_costs) * 1e6:.0f} us", spread(echo_costs, 1e6))
    ]
    return rows + [
        (f"CPU of `POST /predict`, {name}", f"{median(ratio):.1f} x the echo's", spread(ratio, 1))
        for name, ratio in ratios.items()
    ]


def latency_rows() -> list[Row]:
    with MeasuredServer(OURS, DRAIN_SECONDS="0") as server, MeasuredServer(ECHO) as echo:
        server.latencies(500)
        echo.latencies(500)
        ours, theirs = server.latencies(5000), echo.latencies(5000)
    rows = []
    for percent in (50, 99):
        mine, yardstick = quantile(ours, percent), quantile(theirs, percent)
        rows.append(
            (f"p{percent} at one connection", f"{mine / yardstick:.1f} x the echo's", f"{mine * 1e3:.2f} ms")
        )
    return rows


def start_rows() -> list[Row]:
    seconds = []
    for _ in range(ROUNDS):
        with MeasuredServer(OURS, DRAIN_SECONDS="0") as server:
            seconds.append(server.seconds_to_ready)
    return [("start to first answer", f"{median(seconds):.2f} s", spread(seconds, 1))]


def memory_rows() -> list[Row]:
    with MeasuredServer(OURS, DRAIN_SECONDS="0") as server:
        server.cpu_per_request(MEMORY_REQUESTS)
        first = server.resident_mib()
        server.cpu_per_request(MEMORY_REQUESTS)
        second = server.resident_mib()
    return [
        (f"resident memory after {MEMORY_REQUESTS:,} requests", f"{first:.0f} MiB", ""),
        (f"after {MEMORY_REQUESTS:,} more", f"{second - first:+.1f} MiB", ""),
    ]


def quantile(ordered: list[float], percent: float) -> float:
    return ordered[int(len(ordered) * percent / 100)]


def spread(values: list[float], scale: float) -> str:
    return f"{min(values) * scale:.2f} to {max(values) * scale:.2f}"


def report(rows: list[Row]) -> str:
    libraries = ", ".join(
        f"{name} {version(name)}" for name in ("fastapi", "uvicorn", "onnxruntime", "numpy")
    )
    lines = [
        "# Performance",
        "",
        "Written by `make bench`; do not edit. Ratios are against a bare uvicorn echo (`bench/echo.py`) in",
        f"the same run: one worker, {ROUNDS} interleaved rounds of {REQUESTS:,} requests on 16 connections,",
        "CPU of the server's process alone. Compare ratios, not seconds, between machines.",
        "",
        "| what | median | lowest to highest round |",
        "|---|---|---|",
        *(f"| {what} | {value} | {detail} |" for what, value, detail in rows),
        "",
        f"{os.cpu_count()} cores, {platform.machine()}; Python {platform.python_version()}; {libraries}.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
