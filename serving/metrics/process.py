"""Memory and CPU of the process, as gauges for vocabularies that name them, on every operating system."""

import psutil

from bundle.concepts import APP_INFO, CPU, MEMORY
from bundle.declaration import Declaration
from serving.metrics.vocabulary import Vocabulary

REFRESH_SECONDS = 15


def show_newest_start(vocabulary: Vocabulary) -> None:
    """Show when the newest of several workers started, by the name that one process has for it.

    It changes whenever a worker is replaced: a crash loop inside of a pod is seen like one of pods.
    """
    help_text = "Start time of the process since unix epoch in seconds; of several workers, the newest."
    vocabulary.own_gauge("process_start_time_seconds", help_text, (), across_workers="livemax").set(
        psutil.Process().create_time()
    )


class ProcessMetrics:
    """Resident memory, and CPU since the last refresh; several workers add up."""

    def __init__(self, vocabulary: Vocabulary, declaration: Declaration, version: str) -> None:
        self._process = psutil.Process()
        self._set_memory = vocabulary.gauge(declaration, MEMORY)
        self._set_cpu = vocabulary.gauge(declaration, CPU)
        set_info = vocabulary.gauge(declaration, APP_INFO, app_version=version, service=declaration.service)
        set_info(1)
        self._process.cpu_percent()  # the first call only starts the clock
        self.refresh()

    def refresh(self) -> None:
        self._set_memory(self._process.memory_info().rss)
        self._set_cpu(self._process.cpu_percent())
