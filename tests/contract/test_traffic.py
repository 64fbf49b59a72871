"""monitoring/test-metrics.sh against a server that runs on this machine: what it says, and its exit code."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from bench.drift import stability_index
from bundle.declaration import load_declaration
from tests.harness import HEART, PROJECT, Server
from tests.systems import MODELS
from training.build import build
from training.new import new

pytestmark = pytest.mark.heart


def traffic(server: Server, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROJECT / "monitoring" / "test-metrics.sh", "--url", f"http://127.0.0.1:{server.port}", *options],
        env=os.environ | {"MODELS_DIR": server.settings.get("MODELS_DIR", str(MODELS))},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def stability_indexes(server: Server, rows: int) -> Iterator[tuple[str, float]]:
    """Yield the index of each feature of the main model, against `rows` training rows."""
    series, declaration = server.metrics(), load_declaration(server.main_model)
    for name in declaration.feature_names:
        live, training = (
            {
                dict(labels)["bin"]: value
                for (metric, labels), value in series.items()
                if metric == expected_metric and ("feature", name) in labels
            }
            for expected_metric in ("feature_values_total", "feature_reference_share")
        )
        yield (
            name,
            stability_index(np.array([live[bin_name] for bin_name in training]), training.values(), rows),
        )


def test_all_rows_are_answered_and_counted(start: Callable[..., Server]) -> None:
    server = start()
    result = traffic(server, "--requests", "303", "--errors", "10")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "counters: 273 with status 200, as sent" in result.stdout
    assert "counters: 30 with status 422, as sent" in result.stdout
    assert server.metric("predictions_total", prediction_result="disease") > 80
    assert server.metric("predictions_total", prediction_result="no_disease") > 80


def test_unexpected_answers_fail(start: Callable[..., Server]) -> None:
    result = traffic(start(FAULT_ERROR_RATE="0.5"), "--requests", "40")
    assert result.returncode == 1
    assert "answers are not what was expected" in result.stdout


@pytest.mark.parametrize(
    "feature", ["age", "oldpeak", "ca", "fbs", "thal"]
)  # whole, not, and bounded; categories
def test_a_shifted_feature_moves_and_no_other(start: Callable[..., Server], feature: str) -> None:
    server = start()
    result = traffic(server, "--requests", "303", "--shift", feature)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "counters: 303 with status 200, as sent" in result.stdout

    for name, index in stability_indexes(server, 303):
        assert index > 0.25 if name == feature else index < 1e-9, (name, index)


# ---- models other than the heart model ----


def german_table() -> str:
    """Return a table with semicolons, decimal commas, quotes and missing values; high amounts default."""
    lines = ["Alter;Betrag;Konto;Geschäft;Ausfall"]
    for number in range(240):
        amount = f"{number * 7 % 100 + 0.25:.2f}".replace(".", ",") if number % 9 else "n/a"
        shop = ("Bäcker", 'Café "Ost"', "Metzger")[number % 3]
        failed = number * 7 % 100 > 60 or number % 11 == 0
        lines.append(f"{20 + number % 50};{amount};{number % 2};{shop};{'ja' if failed else 'nein'}")
    return "\n".join(lines).replace('Café "Ost"', '"Café ""Ost"""') + "\n"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the heart model and a model of one's own, as `make new` and `make train` leave it."""
    folder = tmp_path_factory.mktemp("models")
    table = folder.parent / "credit.csv"
    table.write_text(german_table(), encoding="cp1252")
    new(folder, "credit", table, "Ausfall", say=lambda _: None)
    build(folder / "credit", None, None, say=lambda _: None)
    shutil.copytree(HEART, folder / "heart-disease")
    return folder


@pytest.fixture
def models_without_data(models: Path, tmp_path: Path) -> Path:
    return shutil.copytree(models, tmp_path / "models", ignore=shutil.ignore_patterns("data.csv"))


def is_exact(result: subprocess.CompletedProcess[str], answered: int, rejected: int) -> bool:
    counted = {
        f"counters: {answered} with status 200, as sent",
        f"counters: {rejected} with status 422, as sent",
    }
    return result.returncode == 0 and counted <= set(result.stdout.splitlines())


@pytest.mark.parametrize(("name", "rows", "from_data"), [("iris", 150, True), ("fraud", 500, False)])
def test_rows_of_a_shipped_model_are_counted_and_do_not_drift(
    start: Callable[..., Server], name: str, rows: int, from_data: bool
) -> None:
    server = start(MODEL=name)
    result = traffic(server, "--requests", str(rows))
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"counters: {rows} with status 200, as sent" in result.stdout
    assert ("its data are not here" in result.stdout) is not from_data
    most = 1e-9 if from_data else 0.01
    assert max(index for _, index in stability_indexes(server, rows)) < most


def test_rows_of_a_model_of_ones_own_are_counted_and_do_not_drift(
    start: Callable[..., Server], models: Path
) -> None:
    server = start(MODEL="credit", MODELS_DIR=str(models))
    declaration = load_declaration(server.main_model)
    assert (declaration.table.separator, declaration.table.decimal, declaration.table.missing) == (
        ";",
        ",",
        ("n/a",),
    )
    result = traffic(server, "--requests", "240")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "counters: 240 with status 200, as sent" in result.stdout
    assert max(index for _, index in stability_indexes(server, 240)) < 1e-9
    assert is_exact(traffic(server, "--requests", "100", "--errors", "40"), 60, 40)
    rejected = {
        name: server.metric("feature_rejected_total", feature=name) for name in declaration.feature_names
    }
    assert min(rejected.values()) > 0, rejected


def test_without_its_data_rows_come_from_the_bundle_and_one_feature_is_shifted(
    start: Callable[..., Server], models_without_data: Path
) -> None:
    server = start(MODEL="credit", MODELS_DIR=str(models_without_data))
    shifted = load_declaration(server.main_model).feature_names[1]  # with fractions and missing values
    result = traffic(server, "--requests", "500", "--shift", shifted)
    assert "its data are not here" in result.stdout
    assert "counters: 500 with status 200, as sent" in result.stdout, result.stdout + result.stderr
    for name, index in stability_indexes(server, 240):
        assert index > 0.25 if name == shifted else index < 0.01, (name, index)


def test_of_several_models_each_gets_rows_of_its_own(start: Callable[..., Server], models: Path) -> None:
    server = start(MODEL="heart-disease,credit", MODELS_DIR=str(models))
    result = traffic(server, "--requests", "40", "--errors", "25", "--model", "credit")
    assert is_exact(result, 30, 10), result.stdout + result.stderr
    assert server.metric("api_requests_total", endpoint="/models/credit/predict") == 40


@pytest.mark.parametrize(
    ("metrics", "sentences"),
    [
        ("[metrics.requests]\nname = 'asked_total'", ["counters: ", "with any status: 40 as sent"]),
        ("[metrics.model_requests]\nname = 'asked_total'", ["[metrics] of model.toml has no counter"]),
    ],
)
def test_counters_are_compared_as_far_as_the_model_names_them(
    start: Callable[..., Server], models_without_data: Path, metrics: str, sentences: list[str]
) -> None:
    with (models_without_data / "credit" / "model.toml").open("a", encoding="utf-8") as declared:
        declared.write(f"\n{metrics}\n")
    server = start(MODEL="credit", MODELS_DIR=str(models_without_data))
    result = traffic(server, "--requests", "40", "--errors", "25")
    assert result.returncode == 0, result.stdout + result.stderr
    assert all(sentence in result.stdout for sentence in sentences), result.stdout


# ---- arguments ----


def test_traffic_ends_at_the_time_limit(start: Callable[..., Server]) -> None:
    result = traffic(start(), "--duration", "1")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "as sent" in result.stdout


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--requests", "many"], "--requests needs a whole number"),
        (["--requests", "2"], "--requests must not be less than --concurrency"),
        (["--errors", "101"], "--errors is a percentage"),
        (["--shift", "weight"], "there is no feature 'weight' to shift; there are age sex cp"),
        (["--speed", "9"], "unknown option --speed"),
        (["--url", "http://127.0.0.1:9"], "http://127.0.0.1:9 does not answer; is the API running?"),
    ],
)
def test_invalid_arguments_get_a_sentence(
    options: list[str], sentence: str, start: Callable[..., Server]
) -> None:
    result = traffic(start(), *options)
    assert result.returncode == 1
    assert sentence in result.stderr
