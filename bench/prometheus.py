"""A Prometheus of one's own: started in a folder, filled with the past, and asked."""

import json
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Self
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

from bench.load import BenchError, free_port
from tools.cluster.places import CACHE

PROGRAMS = CACHE / "bin"

Labels = dict[str, str]


class Prometheus:
    """Runs for as long as the context; its data stay in `folder/data`."""

    def __init__(self, folder: Path, config: dict[str, Any], *options: str) -> None:
        if not (PROGRAMS / "prometheus").exists():
            raise BenchError("there is no Prometheus: `make cluster` builds it")
        (folder / "prometheus.yml").write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._command = [
            str(PROGRAMS / "prometheus"),
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--log.level=error",
            *options,
        ]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self.process = subprocess.Popen(self._command)
        try:
            until(lambda: "Ready" in get(f"{self.url}/-/ready"), "Prometheus is ready")
        except BenchError:
            self.stop()
            raise

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()

    def query(self, expression: str, at: float | None = None) -> list[tuple[Labels, float]]:
        """Return labels and value of each series of an instant vector, now or at a time in seconds."""
        asked = {"query": expression} | ({} if at is None else {"time": str(at)})
        answer = json.loads(get(f"{self.url}/api/v1/query?{urlencode(asked)}"))
        return [(found["metric"], float(found["value"][1])) for found in answer["data"]["result"]]


def backfill(folder: Path, lines: Iterable[str], rules: Path, at: int, depth: int) -> None:
    """Write samples (OpenMetrics, by metric) to `folder/data`, and what rules record from them until `at`.

    `depth` is how many recordings stand one on the other at most: each needs a pass that sees the last.
    """
    samples = folder / "samples"
    with samples.open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)
        file.write("# EOF\n")
    data = folder / "data"
    promtool("tsdb", "create-blocks-from", "openmetrics", "--quiet", str(samples), str(data))
    past = ("--storage.tsdb.retention.time=100y",)
    for _ in range(depth):
        with Prometheus(folder, {}, *past) as prometheus:
            times = [f"--start={at - 120}", f"--end={at}", f"--url={prometheus.url}", f"--output-dir={data}"]
            promtool("tsdb", "create-blocks-from", "rules", *times, str(rules))


def promtool(*arguments: str) -> None:
    done = subprocess.run(
        [str(PROGRAMS / "promtool"), *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BenchError(f"promtool {' '.join(arguments[:3])}: {done.stderr[-2000:]}")


def get(url: str) -> str:
    with urlopen(url, timeout=60) as answer:  # noqa: S310  # a loopback address
        content: bytes = answer.read()
        return content.decode()


def until(done: Callable[[], object], what: str, seconds: float = 120) -> None:
    """Ask until it is so; BenchError where it is not in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if done():
                return
        except (URLError, OSError):
            pass
        time.sleep(0.1)
    raise BenchError(f"not within {seconds:g} s: {what}")
