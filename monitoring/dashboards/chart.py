"""The chart's dashboards: of one release, for a Grafana whose data sources and other dashboards are not ours.

The chart replaces `@uid@`, `@release@`, `@namespace@` and `@job@`. Readers choose the data source.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.builders import dashboard as dashboards
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from bundle.declaration import Declaration, load_declaration
from bundle.errors import BundleError
from monitoring.dashboards import health, objectives, quality, versions
from monitoring.dashboards.panels import CHOSEN, NAMESPACE, POD, RELEASE, new_dashboard, with_panels
from monitoring.panels.names import Names, without_metrics
from monitoring.panels.objectives import APP
from monitoring.panels.panel import Panel
from monitoring.panels.predictions import Predictions
from monitoring.panels.traffic import Traffic

PROJECT = Path(__file__).resolve().parent.parent.parent
FOLDER = "helm-charts/heart-disease-api/files/dashboards"
MODELS = ("heart-disease", "iris", "churn", "fraud")
OF_NAMESPACE, OF_JOB = CHOSEN.releases
TARGETS = {"namespace": (APP,), "job": (APP, OF_NAMESPACE), "pod": (APP, OF_NAMESPACE, OF_JOB)}
"""By variable, how its values are found: of the targets, which every vocabulary has."""


def render() -> dict[str, str]:
    """Return the content of each file by its path in the project."""
    declarations = {name: load_declaration(PROJECT / "models" / name) for name in MODELS}
    declarations["other"] = without_metrics(declarations["heart-disease"])
    boards = {f"api/{name}": ("Predictions", of_model(found)) for name, found in declarations.items()}
    boards["health"] = "Model health", health.dashboard()
    boards["objectives"] = "Objectives", objectives.dashboard()
    boards["quality"] = "Model quality", quality.dashboard()
    boards["versions"] = "Model versions", versions.dashboard()
    return {f"{FOLDER}/{name}.json": of_release(board, title) for name, (title, board) in boards.items()}


def of_model(declaration: Declaration) -> dashboards.Dashboard:
    """Return the dashboard of an API, with the panels and variables that its vocabulary has names for."""
    names = Names(declaration)
    titles = {"model": "Model"}
    labels = [
        (label, titles.get(label, "Version")) for label in names.labels("model_loaded", "model", "version")
    ]
    board = new_dashboard(
        "Predictions",
        "api",
        "Requests, predictions and the state of the model.",
        variables=(NAMESPACE, RELEASE, POD, *labels),
        labels_of=names.series("model_loaded"),
    )
    return with_panels(board, *known(panels(names)))


def panels(names: Names) -> Iterator[Callable[[], Panel]]:
    traffic, predictions = Traffic(names, CHOSEN), Predictions(names, CHOSEN)
    yield from (predictions.status, predictions.total, traffic.errors, traffic.success_rate)
    yield from (traffic.requests, traffic.durations, traffic.percentiles)
    yield from (predictions.by_result, predictions.confidence, predictions.latency)
    yield from (traffic.error_rate, traffic.by_pod, traffic.active, traffic.queue, traffic.loop_lag)
    yield from (traffic.shed, traffic.connections, traffic.closed_connections, predictions.expectation)


def known(makers: Iterator[Callable[[], Panel]]) -> Iterator[Panel]:
    """Yield the panels that the vocabulary has names for."""
    for make in makers:
        try:
            yield make()
        except BundleError:
            continue


def of_release(board: dashboards.Dashboard, title: str) -> str:
    """Return a dashboard as JSON that shows one release first, and lets readers choose others."""
    found = with_data_source(json.loads(JSONEncoder().encode(board.build())))
    found |= {"uid": "@uid@", "title": f"{title}: @release@"}
    (alerts,) = found["annotations"]["list"]
    of_alerts = ", ".join(('alertstate="firing"', 'severity!="none"', *CHOSEN.releases))
    alerts["expr"] = f"ALERTS{{{of_alerts}}}"  # those of the cluster are others' as well
    for variable in found["templating"]["list"]:
        name = variable["name"]
        if name in TARGETS:
            variable["query"] = f"label_values(up{{{', '.join(TARGETS[name])}}}, {name})"
        if name in {"namespace", "job"}:
            variable["current"] = {"text": [f"@{name}@"], "value": [f"@{name}@"]}
    source = dashboards.DatasourceVariable("datasource").label("Data source").type("prometheus")
    found["templating"]["list"].insert(0, json.loads(JSONEncoder().encode(source.build())))
    return json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def with_data_source(value: Any) -> Any:
    """Return a value with the chosen data source in place of the one that `monitoring/` provides."""
    if value == {"type": "prometheus", "uid": "prometheus"}:
        return {"type": "prometheus", "uid": "${datasource}"}
    if isinstance(value, dict):
        return {key: with_data_source(member) for key, member in value.items()}
    return [with_data_source(member) for member in value] if isinstance(value, list) else value
