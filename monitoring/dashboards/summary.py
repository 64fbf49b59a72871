"""monitoring/IMPLEMENTATION_SUMMARY.md: what is tracked and how it flows, from the files that say so."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from bundle.concepts import CONCEPTS, NAMEABLE
from bundle.declaration import load_declaration

PROJECT = Path(__file__).resolve().parent.parent.parent
MONITORING = PROJECT / "monitoring"

TEXT = """# What is tracked, and how it flows

Written by `make dashboards` from the model's vocabulary, the dashboards and the rules; do not edit.

```
POST /predict -> serving/http/middleware.py (requests, durations, errors)
              -> serving/inference/monitored_model.py    (predictions, confidence, state of the model)
              -> serving/inference/drift.py      (every value, in the bins of the training data)
              -> GET /metrics of every pod          GET /readyz of every release's Service
                   | every {interval}, one target a pod     | by the blackbox exporter (blackbox.yml)
                   v                                 v
              Prometheus (prometheus-config.yaml) -> recording rules and alerts (rules/, written by alerting/)
                   |                                   -> Alertmanager -> Slack, email, webhook
                   v
              Grafana ({files})
```

## Metrics

| name | labels | what it is |
|---|---|---|
{metrics}

## Panels

| dashboard | panel | what it shows |
|---|---|---|
{panels}

## Alerts

| alert | severity | for | what it says |
|---|---|---|---|
{alerts}
"""


def summary(dashboards: dict[str, str]) -> str:
    """Return the page; `dashboards` is the JSON of each file by name."""
    config = yaml.safe_load((MONITORING / "prometheus-config.yaml").read_text(encoding="utf-8"))
    return TEXT.format(
        interval=config["global"]["scrape_interval"],
        files=", ".join(Path(name).name for name in dashboards),
        metrics="\n".join(_metrics()),
        panels="\n".join(_panels(dashboards)),
        alerts="\n".join(_alerts()),
    )


def _metrics() -> Iterator[str]:
    declaration = load_declaration(PROJECT / "models" / "heart-disease")
    concepts = [NAMEABLE[name] for name in declaration.metrics]
    concepts += [concept for concept in CONCEPTS if concept.common]
    for concept in concepts:
        if metric := concept.name_in(declaration):
            labels = ", ".join(f"`{label}`" for label in metric.labels)
            yield f"| `{metric.name}` | {labels} | {concept.help} |"


def _panels(dashboards: dict[str, str]) -> Iterator[str]:
    for content in dashboards.values():
        board: dict[str, Any] = json.loads(content)
        for panel in board["panels"]:
            yield f"| {board['title']} | {panel['title']} | {panel['description']} |"


def _alerts() -> Iterator[str]:
    """Yield a line for each alert, once where several vocabularies have it."""
    known = set()
    for file in sorted((MONITORING / "rules").glob("*.yaml")):
        for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]:
            for rule in (rule for rule in group["rules"] if "alert" in rule):
                name, notes = rule["alert"], rule["annotations"]
                if name in known:
                    continue
                known.add(name)
                page, said = f"[{name}](runbooks/{name}.md)", _without_templates(notes["description"])
                yield f"| {page} | {rule['labels']['severity']} | {rule.get('for', '0s')} | {said} |"


def _without_templates(description: str) -> str:
    """Return an alert's description with the name of what each template shows in its place."""
    conditional = r"{{ with \$labels\.(\w+) }}(.*?){{ \. }}(.*?){{ end }}"
    shown = r'{{ (?:or |printf "[^"]*" )?\$(?:labels\.)?(\w+)[^}]*}}'
    return re.sub(shown, r"`\1`", re.sub(conditional, r"\2`\1`\3", description))
