"""Command line: `python -m monitoring.alerting` writes the rules for all stacks and the chart.

They are those of the shipped models, and for other models those on the default names of metrics.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from bundle.concepts import CONCEPTS
from bundle.declaration import Declaration, load_declaration
from monitoring.alerting import model, requests, service
from monitoring.panels import objectives
from monitoring.panels.names import Names, without_metrics

PROJECT = Path(__file__).resolve().parent.parent.parent
RULES = PROJECT / "monitoring" / "rules"
CHARTS_RULES = PROJECT / "helm-charts" / "heart-disease-api" / "files" / "rules"
MODELS = ("heart-disease", "iris", "churn", "fraud")
SHARED = ("drift", "quality")
"""Files of rules on what all models share."""

INTERVALS = {"objectives": {"interval": "30s"}, "budgets": {"interval": "2m"}}
"""Where scrapes of days are read; others are evaluated as often as Prometheus is told to."""

HEADER = """\
# Rules on {title}; written by `make rules` from monitoring/alerting, do not edit.
# Objectives: {errors:g} % of predictions are not answered with 5xx or 429 while the API can be reached (other 4xx are the
# client's), and {slow:g} % take at most {seconds} s. An alert's page in monitoring/runbooks/ has its name.
"""

HEADER_OF_VOCABULARY = """\
# Rules on {names}, without those of other files here; written by `make rules` from
# monitoring/alerting, do not edit.
"""

HEADER_OF_OTHERS = """\
# Rules for a model of your own, on what it measures without [metrics]; written by `make rules` from
# monitoring/alerting, do not edit.
"""

RELEASE = 'namespace="@namespace@", job="@job@"'
"""What the chart puts into each selector."""

RELEASES_URL = "@publicUrl@"
"""What the chart replaces in the address of each runbook."""


def groups(names: Names, *, named: bool) -> list[dict[str, Any]]:
    """Return the groups of rules that a model's vocabulary has names for."""
    timed = names.has("requests", "request_duration")
    found = {
        "availability": requests.availability(),
        "objectives": requests.recordings(names) + requests.objective_alerts() if timed else [],
        "budgets": requests.budgets() if timed else [],
        "service": service.alerts(names, named=named),
        "model": model.rules(names),
    }
    return [
        {"name": f"api-{name}", **INTERVALS.get(name, {}), "rules": rules}
        for name, rules in found.items()
        if rules
    ]


class Block(yaml.SafeDumper):
    """Writes expressions of several lines as blocks."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


Block.add_representer(str, _text)


def dump(found: list[dict[str, Any]]) -> str:
    return str(yaml.dump({"groups": found}, Dumper=Block, sort_keys=False, width=110, allow_unicode=True))


def header_of(declaration: Declaration) -> str:
    return HEADER.format(
        title=f"the {declaration.title} API",
        errors=100 * (1 - objectives.ERRORS.allowed),
        slow=100 * (1 - objectives.LATENCY.allowed),
        seconds=objectives.SLOW_SECONDS,
    )


def shared() -> list[dict[str, Any]]:
    """Return the groups on what all models share, which are written by hand."""
    return [group for name in SHARED for group in groups_of(RULES / f"{name}.yaml")]


def groups_of(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
    return found


def shipped_rules() -> list[requests.Rule]:
    """Return the rules of every file that a Prometheus for all vocabularies loads."""
    return [
        rule for path in sorted(RULES.glob("*.yaml")) for group in groups_of(path) for rule in group["rules"]
    ]


def render() -> dict[Path, str]:
    """Return the content of each file."""
    files = {}
    for name in MODELS:
        declaration = load_declaration(PROJECT / "models" / name)
        names = Names(declaration)
        files[CHARTS_RULES / f"{name}.yaml"] = header_of(declaration) + for_release(
            groups(names, named=True) + shared(), names
        )
    names = Names(without_metrics(declaration))
    own = groups(names, named=True)
    files[CHARTS_RULES / "other.yaml"] = HEADER_OF_OTHERS + for_release(own + shared(), names)
    return files | of_every_vocabulary()


def of_every_vocabulary() -> dict[Path, str]:
    """Return files of rules that one Prometheus can load together: no rule is in two of them."""
    main, *others = (load_declaration(PROJECT / "models" / name) for name in MODELS)
    found = groups(Names(main), named=False)
    files = {RULES / "heart-disease-api.yaml": header_of(main) + dump(found)}
    known = [rule for group in found for rule in group["rules"]]
    vocabularies = [(other.name, f"what models name as {other.name} does", other) for other in others]
    vocabularies.append(("default", "the default names of metrics", without_metrics(main)))
    for name, described, declaration in vocabularies:
        own = without(known, groups(Names(declaration, common=False), named=False))
        if own:
            known += [rule for group in own for rule in group["rules"]]
            own = [group | {"name": f"{group['name']}-{name}"} for group in own]
            header = HEADER_OF_VOCABULARY.format(names=described)
            files[RULES / f"vocabulary-{name}.yaml"] = header + dump(own)
    return files


def without(known: list[requests.Rule], found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the groups with the rules that are not known yet."""
    rest = [group | {"rules": [rule for rule in group["rules"] if rule not in known]} for group in found]
    return [group for group in rest if group["rules"]]


def for_release(found: list[dict[str, Any]], names: Names) -> str:
    """Return groups that select one release in each expression: those of two releases do not mix."""
    metrics = {names.series(c.name) for c in CONCEPTS if names.has(c.name)}
    metrics |= {"up", "probe_success", "process_start_time_seconds", "feature_chi_square_quantile"}
    known = "|".join(sorted(map(re.escape, metrics), key=len, reverse=True))
    series = re.compile(
        rf"(?<![\w:\"/=])((?:{known})(?:_bucket|_sum|_count)?|job:[\w:]+)(?![\w:])(?:\{{([^}}]*)\}})?"
    )

    def selected(match: re.Match[str]) -> str:
        chosen = ", ".join(part for part in (RELEASE, match[2]) if part)
        return f"{match[1]}{{{chosen}}}"

    return dump(
        [
            group
            | {"rules": [rule | {"expr": series.sub(selected, rule["expr"])} for rule in group["rules"]]}
            for group in found
        ]
    ).replace(requests.PUBLIC_URL, RELEASES_URL)


def main() -> None:
    for path, content in render().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        print(f"wrote {path.relative_to(PROJECT)}")


if __name__ == "__main__":
    main()
