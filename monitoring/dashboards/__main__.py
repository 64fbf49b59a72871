"""Command line: `python -m monitoring.dashboards` writes dashboards and the summary into monitoring/."""

from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from monitoring.dashboards import api, objectives
from monitoring.dashboards.summary import summary

FOLDER = Path(__file__).resolve().parent.parent
DASHBOARDS = {"grafana-dashboard.json": api.dashboard, "grafana-objectives.json": objectives.dashboard}


def render() -> dict[str, str]:
    """Return the content of each file by name."""
    boards = {
        name: JSONEncoder(sort_keys=True, indent=1).encode(make().build()) + "\n"
        for name, make in DASHBOARDS.items()
    }
    return boards | {"IMPLEMENTATION_SUMMARY.md": summary(boards)}


if __name__ == "__main__":
    for name, content in render().items():
        (FOLDER / name).write_text(content, encoding="utf-8")
        print(f"wrote monitoring/{name}")
