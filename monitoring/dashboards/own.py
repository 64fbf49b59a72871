"""Writes rules and a dashboard for the names in a model's [metrics]: `make rules MODEL=credit`.

They go into `models/credit/monitoring/`, where `make up` and `scripts/deploy.sh` find them.
"""

import argparse
import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from bundle.concepts import check_metrics
from bundle.declaration import Declaration, load_declaration, model_folder
from bundle.errors import BundleError
from bundle.metric_names import DEFAULT_METRICS, lacked_by_rules
from monitoring.alerting.__main__ import dump, for_release, groups, shared, shipped_rules, without
from monitoring.dashboards import api
from monitoring.panels.names import Names

FOLDER = "monitoring"
HEADER = (
    "# Rules on what {name} measures by its [metrics]; written by `make rules MODEL={name}`, do not edit.\n"
)


def render(declaration: Declaration) -> dict[str, str]:
    """Return the content of each file by name; BundleError where a rule or a panel lacks a name or a label.

    `rules.yaml` has what no shipped file of rules has, for a Prometheus that loads both; `chart-rules.yaml`
    has everything, for one release.
    """
    if lacked := lacked_by_rules(declaration.metrics):
        raise BundleError(
            f"model.toml of '{declaration.name}': rules need {', '.join(lacked)} (an example is in "
            "docs/models.md)"
        )
    names = Names(declaration)
    own = without(shipped_rules(), groups(Names(declaration, common=False), named=False))
    own = [group | {"name": f"{group['name']}-{declaration.name}"} for group in own]
    board = api.dashboard(names, declaration.title, f"{declaration.name}-api").build()
    header = HEADER.format(name=declaration.name)
    return {
        "rules.yaml": header + dump(own),
        "chart-rules.yaml": header + for_release(groups(names, named=True) + shared(), names),
        "dashboard.json": JSONEncoder(sort_keys=True, indent=1).encode(board) + "\n",
    }


def write(folder: Path) -> None:
    """Write the files of a model, if it has names of its own."""
    declaration = load_declaration(folder)
    check_metrics(declaration)
    if declaration.metrics == DEFAULT_METRICS:
        print(f"{declaration.name} has the default names, which shipped rules and dashboards read")
        return
    files = render(declaration)
    (folder / FOLDER).mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / FOLDER / name).write_text(content, encoding="utf-8")
        print(f"wrote {folder / FOLDER / name}")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m monitoring.dashboards.own", description=__doc__)
    parser.add_argument("--model", required=True, help="folder under --models-dir")
    parser.add_argument("--models-dir", type=Path, default=Path("models"), help="where models live (models)")
    options = parser.parse_args(arguments)
    try:
        write(model_folder(options.models_dir, options.model))
    except (BundleError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
