"""Binds concepts to the metric names and labels of a model's declaration.

Labels come from closed sets only: declared routes and methods, statuses and error types that this code
can produce, classes of the model. Every series that a declared route or class can have exists at 0 from
the start, so that a rate over its first event is not lost. docs/metrics.md is the reference.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import prometheus_client
from prometheus_client import CollectorRegistry, Gauge

from bundle.concepts import Concept, Kind, check_metrics
from bundle.declaration import Declaration
from bundle.errors import BundleError
from bundle.metric_names import MetricName
from serving.metrics.counts import Counts, Family
from serving.metrics.workers import WorkersCollector

prometheus_client.disable_created_metrics()

Recorder = Callable[[float], None]
"""Adds to a counter, sets a gauge, or observes a value: a metric with its labels, ready to use."""


class Observer(Protocol):
    """Observes a value; a trace id is shown beside it as its exemplar."""

    def __call__(self, value: float, trace_id: str = "", /) -> None: ...


MakeMetric = Callable[[str, str, tuple[str, ...]], Any]
"""Makes a metric of a name, a help text and names of labels."""


def unmeasured(_: float, _trace_id: str = "", /) -> None:
    """Record nothing: the vocabulary has no name for the concept."""


class Vocabulary:
    """Makes the metrics that declarations name, in one registry.

    BundleError where a declaration names an unknown concept or dimension, or where two models that are
    served together give one metric different labels, or the same series. Several workers share what they
    count in a folder, which prometheus_client must know as PROMETHEUS_MULTIPROC_DIR when it is imported.
    """

    def __init__(self, registry: CollectorRegistry, workers_folder: Path | None = None) -> None:
        self._counts = Counts(registry, workers_folder)
        self._registry: CollectorRegistry | None = registry
        if workers_folder:
            WorkersCollector(registry, workers_folder)
            self._registry = None
        self._made: dict[str, Any] = {}
        self._owners: dict[tuple[str, ...], str] = {}

    def counter(self, declaration: Declaration, concept: Concept, **dimensions: str) -> Recorder:
        child = self._child("counter", self._counts.counter, declaration, concept, dimensions)
        return child.inc if child else unmeasured

    def histogram(
        self, declaration: Declaration, concept: Concept, buckets: Sequence[float], **dimensions: str
    ) -> Observer:
        make = partial(self._counts.histogram, buckets=buckets)
        child = self._child("histogram", make, declaration, concept, dimensions)
        return child.observe if child else unmeasured

    def gauge(self, declaration: Declaration, concept: Concept, **dimensions: str) -> Recorder:
        make = partial(self.own_gauge, across_workers=concept.across_workers)
        child = self._child("gauge", make, declaration, concept, dimensions)
        return child.set if child else unmeasured

    def up_down_counter(self, declaration: Declaration, concept: Concept, **dimensions: str) -> Recorder:
        """Return a recorder that adds to a gauge, or subtracts; live workers add up."""
        child = self._child("gauge", self._counts.up_down_counter, declaration, concept, dimensions)
        return child.inc if child else unmeasured

    def own_gauge(
        self, name: str, documentation: str, labels: Sequence[str], *, across_workers: Any
    ) -> Gauge:
        """Return a gauge with a fixed name, whatever the declarations say."""
        return Gauge(name, documentation, labels, registry=self._registry, multiprocess_mode=across_workers)

    def before_collecting(self, count: Callable[[], None]) -> None:
        """Call `count` before each scrape that this process answers."""
        self._counts.before_collecting(count)

    def _child(
        self,
        kind: Kind,
        make: MakeMetric,
        declaration: Declaration,
        concept: Concept,
        dimensions: dict[str, str],
    ) -> Any:
        """Return the metric with its labels; None where the declaration has no name for the concept."""
        if concept.kind != kind or dimensions.keys() != set(concept.dimensions):
            raise ValueError(f"{concept.name} is a {concept.kind} with dimensions {concept.dimensions}")
        check_metrics(declaration)
        named = concept.name_in(declaration)
        if named is None:
            return None
        metric = self._made.get(named.name)
        if metric is None:
            metric = self._made[named.name] = make(named.name, concept.help, tuple(named.labels))
        labels = {label: dimensions[dimension] for label, dimension in named.labels.items()}
        self._claim(declaration, named, labels)
        try:
            return metric.labels(**labels) if labels or isinstance(metric, Family) else metric
        except ValueError:
            raise BundleError(
                f"the metric '{named.name}' has other labels in '{declaration.name}' than in the model "
                "served beside it: serve them in separate processes"
            ) from None

    def _claim(self, declaration: Declaration, named: MetricName, labels: dict[str, str]) -> None:
        """Note which model has a series; BundleError where another has it."""
        series = (named.name, *labels.values())
        owner = self._owners.setdefault(series, declaration.name)
        if owner != declaration.name:
            raise BundleError(
                f"the metric '{named.name}' does not tell '{declaration.name}' from '{owner}', which is "
                "served beside it: serve them in separate processes"
            )
