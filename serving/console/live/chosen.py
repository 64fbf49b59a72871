"""Which panels the page shows of a model, by section, and for which of its labels they ask."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from bundle.bins import SCORE
from bundle.declaration import Declaration
from bundle.errors import BundleError
from monitoring.panels.budgets import Budgets
from monitoring.panels.expressions import quoted
from monitoring.panels.health import Health
from monitoring.panels.names import Names
from monitoring.panels.panel import Panel
from monitoring.panels.predictions import Predictions
from monitoring.panels.quality import METRICS, Quality
from monitoring.panels.scope import Scope, Window
from monitoring.panels.traffic import Traffic
from monitoring.panels.versions import Versions
from serving.console.targets import Target

Make = Callable[[], Panel]


@dataclass(frozen=True)
class Served:
    """What decides which sections there are; requests are counted by the names of the main model."""

    main: Declaration
    tries_candidate: bool
    takes_outcomes: bool


def feature_of(target: Target, feature: str | None) -> str:
    """Return a feature that the model has: the first, where there is none of this name."""
    names = target.declaration.feature_names
    return feature if feature in (*names, SCORE) else names[0]


def chosen_labels(target: Target, feature: str | None) -> dict[str, str]:
    """Return what a page shows by dimension; all versions where the address pins none."""
    labels = {"model": target.model.name, "feature": feature_of(target, feature)}
    return labels | ({"version": target.version} if target.version else {})


def scope_of(
    labels: Mapping[str, str], releases: tuple[str, ...], rate: str, minutes: int, hour: Window
) -> Scope:
    def choose(dimension: str, label: str) -> str | None:
        return f"{label}={quoted(labels[dimension])}" if dimension in labels else None

    return Scope(releases, (), (), choose, rate, f"{minutes}m", hour)


def panels_of(served: Served, declaration: Declaration, scope: Scope) -> Iterator[tuple[str, list[Panel]]]:
    """Yield the panels of each section, without those that the model's vocabulary has no names for."""
    traffic, predictions = Traffic(Names(served.main), scope), Predictions(Names(declaration), scope)
    health, versions = Health(scope), Versions(scope)
    quality, budgets = Quality(scope), Budgets(scope)
    yield "Alerts", [budgets.alerts()]
    yield (
        "Traffic",
        [
            *known(traffic.success_rate, traffic.errors, traffic.requests, traffic.percentiles),
            *known(traffic.durations, traffic.error_rate, traffic.by_pod),
            *known(traffic.active, traffic.queue, traffic.loop_lag),
            *known(traffic.shed, traffic.connections, traffic.closed_connections),
        ],
    )
    yield (
        "Model",
        [
            *known(predictions.status, predictions.total, predictions.by_result, predictions.confidence),
            *known(predictions.latency, predictions.expectation),
        ],
    )
    yield (
        "Drift",
        [
            *(health.drift(), health.drift_of_feature(), health.values(), health.score()),
            *(health.out_of_range(), health.rejected(), health.missing(), health.rows()),
        ],
    )
    if served.tries_candidate:
        yield (
            "Versions",
            [
                *(versions.target_share(), versions.actual_share(), versions.canary(), versions.shadow()),
                *(versions.disagreement(), versions.requests(), versions.errors(), versions.latency()),
                *(versions.shadow_latency(), versions.scores(), versions.score_difference()),
                versions.shadow_rows(),
            ],
        )
    if served.takes_outcomes:
        metrics = [quality.metric(metric) for metric in METRICS]
        yield (
            "Quality",
            [
                *(quality.store(), quality.outcomes(), quality.confusion(), quality.shares()),
                *(*metrics, quality.calibration()),
            ],
        )
    yield "Objectives", [*budgets.spent(), budgets.requests(), budgets.availability()]


def known(*panels: Make) -> list[Panel]:
    """Return the panels that the vocabulary has names for."""
    found = []
    for make in panels:
        try:
            found.append(make())
        except BundleError:
            continue
    return found
