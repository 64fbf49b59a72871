"""Command line: `python -m monitoring.dashboards` writes dashboards, and the page about them."""

from collections.abc import Callable
from pathlib import Path

from grafana_foundation_sdk.builders import dashboard as dashboards
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from bundle.declaration import load_declaration
from monitoring.dashboards import api, chart, churn, fraud, health, iris, objectives, quality, versions
from monitoring.dashboards.summary import summary
from monitoring.panels.names import Names, without_metrics

PROJECT = Path(__file__).resolve().parent.parent.parent
Make = Callable[[], dashboards.Dashboard]


def of_heart() -> dashboards.Dashboard:
    heart = Names(load_declaration(PROJECT / "models" / "heart-disease"))
    return api.dashboard(heart, "Heart disease API", "heart-disease-api")


def of_default_names() -> dashboards.Dashboard:
    names = Names(without_metrics(load_declaration(PROJECT / "models" / "heart-disease")))
    return api.dashboard(names, "Models with default metric names", "model-api")


HEART: dict[str, Make] = {
    "monitoring/grafana-dashboard.json": of_heart,
    "monitoring/grafana-objectives.json": objectives.dashboard,
    "monitoring/grafana-health.json": health.dashboard,
}
CLUSTER: dict[str, Make] = HEART | {
    "monitoring/grafana-model.json": of_default_names,
    "monitoring/grafana-quality.json": quality.dashboard,
    "monitoring/grafana-versions.json": versions.dashboard,
}
"""On Kubernetes, where the chart can take outcomes and try a candidate."""

DASHBOARDS = CLUSTER | {
    "compose/iris/dashboards/iris.json": iris.dashboard,
    "compose/churn/dashboards/churn.json": churn.dashboard,
    "compose/fraud/dashboards/fraud.json": fraud.dashboard,
}


def render() -> dict[str, str]:
    """Return the content of each file by its path in the project."""
    boards = {
        name: JSONEncoder(sort_keys=True, indent=1).encode(make().build()) + "\n"
        for name, make in DASHBOARDS.items()
    }
    page = summary({name: boards[name] for name in CLUSTER})
    return boards | chart.render() | {"monitoring/IMPLEMENTATION_SUMMARY.md": page}


if __name__ == "__main__":
    for name, content in render().items():
        (PROJECT / name).parent.mkdir(parents=True, exist_ok=True)
        (PROJECT / name).write_text(content, encoding="utf-8")
        print(f"wrote {name}")
