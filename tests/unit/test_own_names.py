"""`make rules MODEL=...`: rules and a dashboard for the names of a model's own [metrics]."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from bundle.metric_names import DEFAULT_METRICS
from monitoring.dashboards.own import main
from tests.systems import MODELS

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
        (OWN, "[metrics] lacks predictions"),
        (
            OWN.replace(', code = "status"', ""),
            "requests that shows status",
        ),
        (
            OWN.replace("endpoint = ", "route = "),
            "objectives need metrics.requests to call the route endpoint",
        ),
        (OWN.replace("requests]", "calls]"), "metrics.calls is none of requests"),
        ("[metrics]", "[metrics] lacks requests"),
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


def test_a_model_that_is_missing_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--models-dir", str(tmp_path), "--model", "nowhere"]) == 1
    assert "is missing" in capsys.readouterr().err
    shutil.rmtree(tmp_path)
