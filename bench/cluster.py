"""Measures what needs the programs of `make cluster`: pods behind a NodePort, and a scraping Prometheus."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import psutil

from bench.load import PROJECT, BenchError, Load, MeasuredServer, example, put_load
from bench.ours import OURS, ROUNDS, Points
from bench.prometheus import Prometheus, get, until
from bench.results import Measurement, of_rounds, other_load, save
from tools.cluster.places import ENVIRONMENT, NODES

CHART = PROJECT / "helm-charts" / "heart-disease-api"
BODY = json.dumps(example()).encode()
URL = f"http://{NODES[0].address}:30080"
REPLICAS = (1, 2, 3)
SECONDS = 5
CONNECTIONS = 64

SHARED_CORES = (
    "the pods share the cores with wrk, the nodes' network, the containers' logs and the cluster; one pod "
    "beside a program that only spins shows how much less a shared core does. That is a part of it; the rest "
    "was not found, for want of a machine with more cores"
)

TARGETS = 100
INTERVAL = 2
SCRAPED_SECONDS = 90

Say = Callable[[str], None]


def run(say: Say) -> None:
    """Measure, and write `docs/performance/cluster.json`."""
    if not ENVIRONMENT.exists():
        raise BenchError("the cluster does not run: `make bench-cluster` starts it")
    for line in ENVIRONMENT.read_text(encoding="utf-8").splitlines():
        name, _, value = line.removeprefix("export ").partition("=")
        os.environ[name] = value.strip('"').replace("$PATH", os.environ["PATH"])
    busy = other_load()
    seen = prometheus(say)
    loads: dict[int, list[Load]] = {}
    for number in REPLICAS:
        say(f"{number} pods ...")
        install(number)
        loads[number] = rounds()
    say("one pod beside a program that keeps a core busy ...")
    install(1)
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as spinning:
        disturbed = rounds()
        spinning.kill()
    measurements = [
        against(loads[1], disturbed, "one pod beside a program that only spins against one alone"),
        against(loads[1], loads[2], "two pods against one alone", "at least 0.95", SHARED_CORES),
        against(disturbed, loads[2], "two pods against one beside such a program"),
        against(loads[1], loads[3], "three pods against one alone"),
    ]
    middle = {
        number: sorted(rounds_of, key=lambda load: load.requests)[ROUNDS // 2]
        for number, rounds_of in loads.items()
    }
    curve: Points = [(number, load.requests / load.seconds, load.p99) for number, load in middle.items()]
    save("cluster", measurements, busy, growth={"replicas": curve}, prometheus=seen)


def against(base: list[Load], others: list[Load], what: str, goal: str = "", reason: str = "") -> Measurement:
    """Return the requests a CPU second of others, as a multiple of the base's."""
    ratios = [load.cpu / compared.cpu for load, compared in zip(base, others, strict=True)]
    return of_rounds(f"requests a CPU second of {what}", ratios, "x", goal, reason)


def install(number: int) -> None:
    """Run so many pods of the release."""
    command = ["helm", "upgrade", "--install", "heart-disease-api", str(CHART), "--namespace", "mlops"]
    options = ["--create-namespace", "--reset-values", "--wait", "--set", f"replicaCount={number}"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"helm said: {done.stderr}")
    until(lambda: post(f"{URL}/predict", BODY) and len(servers()) == number, f"{number} pods serve")


def rounds() -> list[Load]:
    """Put load on the NodePort, once to warm up and then in rounds."""
    url = f"{URL}/predict"
    return [put_load(url, BODY, SECONDS, CONNECTIONS, used_by_pods) for _ in range(ROUNDS + 1)][1:]


def servers() -> list[psutil.Process]:
    """Return the processes of the pods, which are processes of this machine."""
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if "api_server.py" in (process.info["cmdline"] or [])
    ]


def used_by_pods() -> float:
    return sum(sum(process.cpu_times()[:2]) for process in servers())


def prometheus(say: Say) -> dict[str, Any]:
    """Let a Prometheus scrape one pod's page as if it were many pods', and return what that costs it."""
    say(f"Prometheus scrapes {TARGETS} targets for {SCRAPED_SECONDS} s ...")
    with MeasuredServer(OURS) as server, tempfile.TemporaryDirectory() as folder:
        server.load(1)
        page = get(f"http://127.0.0.1:{server.port}/metrics")
        series = sum(not line.startswith("#") for line in page.splitlines())
        # each target is the same page under another name
        targets = [
            {"targets": [f"127.0.0.1:{server.port}"], "labels": {"pod": f"pod-{number}"}}
            for number in range(TARGETS)
        ]
        job = {"job_name": "pods", "static_configs": targets}
        config = {"global": {"scrape_interval": f"{INTERVAL}s"}, "scrape_configs": [job]}
        with Prometheus(Path(folder), config, "--web.enable-admin-api") as running:
            port = running.port
            used = psutil.Process(running.process.pid)
            until(lambda: query(port, "prometheus_tsdb_head_series") < series, "nothing is scraped yet", 5)
            memory, cpu, begin = used.memory_info().rss, sum(used.cpu_times()[:2]), time.monotonic()
            scraped = server.cpu_seconds()
            while time.monotonic() < begin + SCRAPED_SECONDS:
                server.post()
                time.sleep(0.05)
            seconds = time.monotonic() - begin
            samples = query(port, "prometheus_tsdb_head_samples_appended_total{type='float'}")
            there = query(port, "prometheus_tsdb_head_series")
            cpu = sum(used.cpu_times()[:2]) - cpu
            memory = used.memory_info().rss - memory
            pod = (server.cpu_seconds() - scraped) / (seconds / INTERVAL * TARGETS)
            disk = snapshot(port, Path(folder)) / samples
    return {
        "targets": TARGETS,
        "interval": INTERVAL,
        "seconds": seconds,
        "series": series,
        "scrape_bytes": len(page),
        "cpu_per_sample": cpu / samples,
        "bytes_per_series": memory / there,
        "disk_per_sample": disk,
        "pod_cpu": pod,
    }


def snapshot(port: int, folder: Path) -> int:
    """Have all samples written as a block, and return its bytes."""
    address = f"http://127.0.0.1:{port}/api/v1/admin/tsdb/snapshot"
    with urlopen(Request(address, method="POST"), timeout=60) as answer:
        name = json.load(answer)["data"]["name"]
    files = (folder / "data" / "snapshots" / name).rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file())


def query(port: int, expression: str) -> float:
    """Return a number from Prometheus' own metrics."""
    name, _, labels = expression.partition("{")
    for line in get(f"http://127.0.0.1:{port}/metrics").splitlines():
        if line.startswith(name) and labels.replace("'", '"').rstrip("}") in line:
            return float(line.split()[-1])
    return 0.0


def post(url: str, body: bytes) -> bool:
    request = Request(url, data=body, headers={"Content-Type": "application/json"})  # noqa: S310
    with urlopen(request, timeout=5) as answer:  # noqa: S310
        return bool(answer.status == 200)
