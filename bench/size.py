"""What training costs by rows and features: `python -m bench size [ROWSxFEATURES ...]`.

Tables are drawn, drafted by `training.new`, and trained by `training`, each in a process of its own. The
lines that are measured replace those of the same size in the table of docs/models.md.
"""

import os
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.load import PROJECT, BenchError
from bench.tables import with_tables
from training import Say
from training.memory import needed

SIZES = ("50000x60", "50000x20", "100000x20", "200000x20", "1000000x20")
DRAFTED_ROWS = 10_000
CHUNK = 10_000
PAGE = PROJECT / "docs" / "models.md"
TITLE = "cost of training"
HEADER = [
    "| rows | features | seconds | CPU seconds | MiB | MiB at most, as estimated |",
    "|---|---|---|---|---|---|",
]


@dataclass(frozen=True)
class Size:
    rows: int
    features: int

    @classmethod
    def read(cls, text: str) -> "Size":
        rows, _, features = text.partition("x")
        if not (rows.isdecimal() and features.isdecimal()):
            raise BenchError(f"{text} is no size: name rows and features, such as {SIZES[0]}")
        return cls(int(rows), int(features))

    @property
    def begin(self) -> str:
        return f"| {self.rows:,} | {self.features} |"


@dataclass(frozen=True)
class Spent:
    """Seconds by the clock and of processors, and the most MiB."""

    wall: float
    processors: float
    memory: int


def run(progress: Say, sizes: Iterable[str] = ()) -> None:
    for size in map(Size.read, list(sizes) or SIZES):
        with tempfile.TemporaryDirectory(prefix="size-") as folder:
            spent = measure(Path(folder), size)
        line = (
            f"{size.begin} {spent.wall:.0f} | {spent.processors:.0f} | {spent.memory:,} | "
            f"{needed(size.rows, size.features):,} |"
        )
        progress(line)
        write(size, line)


def measure(folder: Path, size: Size) -> Spent:
    """Return what training a table of a size costs; the draft is made from its first rows."""
    few, table = folder / "few.csv", folder / "rows.csv"
    draw(table, size)
    with table.open(encoding="ascii") as file:
        few.write_text("".join(line for line, _ in zip(file, range(DRAFTED_ROWS), strict=False)))
    models = ["--models-dir", str(folder), "--model", "sized", "--data"]
    spend("training.new", *models, str(few), "--target", "bought")
    return spend("training", *models, str(table))


def draw(path: Path, size: Size) -> None:
    """Write a table of two classes: a sixth of the columns categories, some of the others' values missing."""
    random = np.random.default_rng(0)
    categories = max(2, size.features // 6)
    numbers = size.features - categories
    weights = random.normal(size=numbers) * 0.3
    names = [*(f"number_{i}" for i in range(numbers)), *(f"city_{i}" for i in range(categories)), "bought"]
    with path.open("w", encoding="ascii") as file:
        file.write(",".join(names) + "\n")
        for start in range(0, size.rows, CHUNK):
            rows = min(CHUNK, size.rows - start)
            values = random.normal(size=(rows, numbers)).round(3)
            cities = random.integers(0, 5, size=(rows, categories))
            bought = random.random(rows) < 1 / (1 + np.exp(1 - values @ weights - 0.4 * (cities[:, 0] == 1)))
            missing = random.random((rows, numbers // 2)) < 0.03
            texts = values.astype(str)
            texts[:, : numbers // 2][missing] = ""
            columns = [
                texts,
                np.array(["a", "b", "c", "d", "e"])[cities],
                np.where(bought, "yes", "no")[:, None],
            ]
            file.writelines(",".join(row) + "\n" for row in np.hstack(columns).tolist())


def spend(module: str, *arguments: str) -> Spent:
    """Run a command of training on one thread, and return what it cost."""
    begin = time.monotonic()
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    output = os.open(os.devnull, os.O_WRONLY)
    process = os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", module, *arguments],
        environment,
        file_actions=[(os.POSIX_SPAWN_DUP2, output, 1)],
    )
    os.close(output)
    _, status, usage = os.wait4(process, 0)
    if status:
        raise BenchError(f"{module} failed with {os.waitstatus_to_exitcode(status)}")
    return Spent(time.monotonic() - begin, usage.ru_utime + usage.ru_stime, usage.ru_maxrss // 1024)


def write(size: Size, line: str) -> None:
    """Put a line in place of that of the same size, or behind the others."""
    text = PAGE.read_text(encoding="utf-8")
    begin, end = f"<!-- begin {TITLE} -->\n", f"<!-- end {TITLE} -->"
    before = text.partition(begin)[2].partition(end)[0].splitlines()[len(HEADER) :]
    lines = [line if old.startswith(size.begin) else old for old in before]
    if line not in lines:
        lines.append(line)
    PAGE.write_text(with_tables(text, {TITLE: [*HEADER, *lines]}), encoding="utf-8")
