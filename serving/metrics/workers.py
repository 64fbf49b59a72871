"""The gauges of several workers, which prometheus_client keeps in files of a shared folder."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.multiprocess import MultiProcessCollector


class WorkersCollector(MultiProcessCollector):
    """Combines the gauges of all workers, except files that a starting worker has not yet filled."""

    def __init__(self, registry: CollectorRegistry, folder: Path) -> None:
        super().__init__(registry, str(folder))  # type: ignore[no-untyped-call]
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        filled = []
        for file in self._folder.glob("*.db"):
            with suppress(FileNotFoundError):  # gone with its worker
                if file.stat().st_size:
                    filled.append(str(file))
        metrics: Iterable[Metric] = self.merge(filled, accumulate=True)  # type: ignore[no-untyped-call]
        return metrics
