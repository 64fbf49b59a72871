"""`make rules MODEL=...`: rules and a dashboard for the names of a model's own [metrics]."""

import json
import shutil
import tomllib
from pathlib import Path

import pytest
import yaml

from bundle.concepts import NAMEABLE
from bundle.declaration import Declaration, load_declaration
from bundle.errors import BundleError
from bundle.metric_names import DEFAULT_METRICS, NEEDED_BY_RULES, MetricName, labelled_by
from monitoring.dashboards import own
from monitoring.dashboards.own import main, render
from tests.harness import PROJECT
from tests.systems import MODELS
from training.preparation import check_declaration

OWN = """
[metrics.requests]
name = "calls_total"
labels = { verb = "method", endpoint = "endpoint", code = "status" }
"""


def declare(folder: Path, metrics: str) -> list[str]:
    """Write the iris model with these [metrics]; return the options that name it."""
    (folder / "iris").mkdir()
    declared = (MODELS / "iris" / "model.toml").read_text(encoding="utf-8").partition("# ---- metric")[0]
    (folder / "iris" / "model.toml").write_text(declared + metrics, encoding="utf-8")
    return ["--models-dir", str(folder), "--model", "iris"]


def every_name() -> str:
    return "\n".join(
        f'[metrics.{concept}]\nname = "own_{named.name}"\nlabels = {{ '
        + ", ".join(f'{label} = "{dimension}"' for label, dimension in named.labels.items())
        + " }"
        for concept, named in DEFAULT_METRICS.items()
    )


def test_rules_and_a_dashboard_read_the_names(tmp_path: Path) -> None:
    assert main(declare(tmp_path, every_name())) == 0
    written = tmp_path / "iris" / "monitoring"
    board = json.loads((written / "dashboard.json").read_text(encoding="utf-8"))
    assert (board["uid"], "own_model_predictions_total" in json.dumps(board)) == ("iris-api", True)
    for name in ("rules.yaml", "chart-rules.yaml"):
        rules = [
            r for group in yaml.safe_load((written / name).read_text())["groups"] for r in group["rules"]
        ]
        (found,) = [rule["expr"] for rule in rules if rule.get("alert") == "ModelNotLoaded"]
        assert found.startswith("own_model_available{")


def test_default_names_need_no_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(declare(tmp_path, "")) == 0
    assert "has the default names" in capsys.readouterr().out
    assert not (tmp_path / "iris" / "monitoring").exists()


@pytest.mark.parametrize(
    ("metrics", "sentence"),
    [
        (OWN, "rules need metrics.request_duration, metrics.errors, metrics.active_requests, "),
        (OWN, "metrics.expected_share (an example"),
        (
            OWN.replace(', code = "status"', ""),
            "metrics.expected_share, a label of metrics.requests that shows status (an example",
        ),
        (
            OWN.replace("endpoint = ", "route = "),
            "the name endpoint for the label of metrics.requests that shows the endpoint",
        ),
        (OWN.replace("requests]", "calls]"), "metrics.calls is none of requests"),
        ("[metrics]", "rules need metrics.requests, "),
    ],
)
def test_what_cannot_be_watched_is_a_sentence(
    metrics: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(declare(tmp_path, metrics)) == 1
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1
    assert not (tmp_path / "iris" / "monitoring").exists()


def needed_metrics() -> dict[str, MetricName]:
    """Return the section that docs/models.md shows as an example."""
    page = (PROJECT / "docs" / "models.md").read_text(encoding="utf-8")
    example = page.partition("```toml\n[metrics.")[2].partition("```")[0]
    declared = tomllib.loads(f"[metrics.{example}")["metrics"]
    return {concept: MetricName.model_validate(named) for concept, named in declared.items()}


def declared_as(metrics: dict[str, MetricName]) -> Declaration:
    return load_declaration(MODELS / "iris").model_copy(update={"metrics": metrics})


def test_what_the_documents_show_is_all_that_rules_need() -> None:
    render(declared_as(needed_metrics()))
    least = {
        name: MetricName(name=f"own_{name}", labels=labelled_by(shown))
        for name, shown in NEEDED_BY_RULES.items()
    }
    render(declared_as(least))
    bare = {name: MetricName(name=f"own_{name}") for name in NAMEABLE}
    render(declared_as(bare | least))


def needed() -> list[tuple[str, str]]:
    return [(concept, dimension) for concept, shown in NEEDED_BY_RULES.items() for dimension in ("", *shown)]


@pytest.mark.parametrize(("concept", "dimension"), needed())
def test_rules_need_each_of_it(concept: str, dimension: str, monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = needed_metrics()
    named = metrics.pop(concept)
    if dimension:
        labels = {label: shown for label, shown in named.labels.items() if shown != dimension}
        metrics[concept] = MetricName(name=named.name, labels=labels)
    with pytest.raises(BundleError, match=concept):
        render(declared_as(metrics))
    monkeypatch.setattr(own, "lacked_by_rules", lambda _: [])
    with pytest.raises(BundleError, match="lacks"):
        render(declared_as(metrics))


def test_check_says_that_rules_would_refuse_the_names(tmp_path: Path) -> None:
    declare(tmp_path, OWN)
    said: list[str] = []
    check_declaration(tmp_path / "iris", said.append)
    assert said[-1].startswith(
        "metrics: make rules would refuse them, as it needs metrics.request_duration, "
    )
    shutil.rmtree(tmp_path / "iris")
    declare(tmp_path, every_name())
    check_declaration(tmp_path / "iris", said.append)
    assert said[-1].endswith("all of known concepts and dimensions")


def test_a_model_that_is_missing_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--models-dir", str(tmp_path), "--model", "nowhere"]) == 1
    assert "is missing" in capsys.readouterr().err
    shutil.rmtree(tmp_path)
