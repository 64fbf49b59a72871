import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures

from bundle.card import card_page
from bundle.declaration import Declaration, load_declaration
from bundle.distributions import NumberDistribution
from bundle.encoding import Encoder
from bundle.features import NumberFeature
from bundle.manifest import load_manifest, read_files
from tests.harness import HEART, PROJECT
from tests.systems import MODELS, System
from training.__main__ import main
from training.data import load_recipe
from training.export import ParityError, check_parity, export_files, generate_rows, widened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(
        shutil.copytree(HEART, tmp_path / "heart-disease", ignore=shutil.ignore_patterns("v1", "CARD.md"))
    )


def train(folder: Path, *arguments: str, hash_seed: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "training", "--models-dir", str(folder.parent), *arguments]
    environment = os.environ | {"PYTHONHASHSEED": str(hash_seed)}
    return subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)


def test_training_twice_gives_the_same_bytes_and_the_committed_metrics(folder: Path) -> None:
    written = []
    for seed in (2, 3):  # two orders of the sets that skl2onnx writes down
        result = train(folder, hash_seed=seed)
        assert result.returncode == 0, result.stderr
        files = [folder / "CARD.md", *sorted((folder / "v1").iterdir())]
        written.append({file.name: file.read_bytes() for file in files})
    assert set(written[0]) == {
        "CARD.md", "additive.json", "bundle.json", "calibration.svg", "card.html", "groups.svg",
        "model.joblib", "model.onnx",
    }  # fmt: skip
    assert written[0] == written[1]
    names = re.findall(r' id="([^"]+)"', card_page(written[0]).decode())
    assert len(names) == len(set(names)) > 50

    declaration = load_declaration(HEART)
    fresh, committed = load_manifest(folder / "v1", declaration), load_manifest(HEART / "v1", declaration)
    assert fresh.evaluation.method == committed.evaluation.method
    assert (fresh.distribution, fresh.chi_square) == (committed.distribution, committed.chi_square)
    assert fresh.score.edges == pytest.approx(committed.score.edges, abs=0.002)
    for name, estimate in fresh.evaluation.metrics.items():
        assert estimate.value == pytest.approx(committed.evaluation.metrics[name].value, abs=0.002), name


def test_the_committed_onnx_model_is_the_committed_pipeline(declaration: Declaration) -> None:
    manifest = load_manifest(HEART / "v1", declaration)
    model = read_files(HEART / "v1", manifest)["model.onnx"]
    pipeline = joblib.load(HEART / "v1" / "model.joblib")
    rows, _ = load_recipe(HEART).load_data(HEART / "data.csv", declaration)
    matrices = [Encoder(declaration).encode(rows), generate_rows(declaration, manifest.distribution)]
    assert [len(matrix) for matrix in matrices] == [303, 10_000]
    assert np.isnan(matrices[1]).any()
    assert check_parity(pipeline, model, matrices) < 1e-5

    pipeline[-1].coef_ += 1e-3
    with pytest.raises(ParityError, match="differ by"):
        check_parity(pipeline, model, matrices)


def test_generated_rows_are_accepted_rows(declaration: Declaration) -> None:
    rows = generate_rows(declaration, load_manifest(HEART / "v1", declaration).distribution)[:200]
    for feature, column in zip(declaration.features, rows.T, strict=True):
        for value in column.tolist():
            feature.encode(None if np.isnan(value) else round(value, 6))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda _: "", "has no rows"),
        (lambda text: text.replace("cholesterol", "chol", 1), "lacks the column 'cholesterol'"),
        (lambda text: text.replace("fixed defect,0", "fixed defect,2", 1), "may only hold 0 and 1"),
        (lambda text: text.replace("63,male", "old,male", 1), "'age' is not a whole number from 18 to 120"),
        (
            lambda text: text.replace("63,male", "630,male", 1),
            "other.csv, line 2: the cell of 'age' is not a whole number from 18 to 120 (years)",
        ),
    ],
)
def test_bad_data_is_reported_in_a_sentence(
    folder: Path, capsys: pytest.CaptureFixture[str], change: Callable[[str], str], sentence: str
) -> None:
    data = folder / "other.csv"
    data.write_text(change((folder / "data.csv").read_text(encoding="utf-8")), encoding="utf-8")
    code = main(["--models-dir", str(folder.parent), "--data", str(data)])
    said = capsys.readouterr().err
    assert (code, said.count("\n")) == (1, 1)
    assert said.startswith("error: ")
    assert sentence in said


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--model", "nope"], "nope/model.toml is missing"),
        (["--version", "v9"], "no version 'v9'; it has v1"),
        (["--data", "nowhere.csv"], "nowhere.csv cannot be read"),
    ],
)
def test_bad_arguments_are_reported_in_a_sentence(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    code = main(["--models-dir", str(folder.parent), *arguments])
    said = capsys.readouterr().err
    assert (code, said.count("\n")) == (1, 1)
    assert sentence in said


def test_the_command_returns_an_exit_code(folder: Path) -> None:
    result = train(folder, "--version", "v9")
    assert (result.returncode, result.stderr.count("\n")) == (1, 1)


def without_ranges(declaration: Declaration) -> Declaration:
    content = declaration.model_dump()
    for feature in content["features"]:
        feature.pop("range", None)
    return Declaration.model_validate(content)


def test_rows_are_generated_around_the_trained_range_where_none_is_declared() -> None:
    system = System("iris")
    rows = generate_rows(without_ranges(system.declaration), system.manifest.distribution)
    for name, column in zip(system.declaration.feature_names, rows.T, strict=True):
        trained = system.manifest.distribution[name]
        assert isinstance(trained, NumberDistribution)
        width = trained.maximum - trained.minimum
        assert trained.minimum - width <= column.min() < trained.minimum - 0.9 * width
        assert trained.maximum + 0.9 * width < column.max() <= trained.maximum + width


def test_a_number_that_never_varied_is_generated_around_its_value_and_as_accepted() -> None:
    feature = NumberFeature(name="x", column="x", description="X", type="integer")
    for value, ends in ((5.0, (4, 6)), (2.0**24, (2**24 - 1, 2**24))):
        distribution = NumberDistribution(
            minimum=value, maximum=value, mean=value, edges=[], shares=[1.0], missing=0.0
        )
        assert widened(feature, {"x": distribution}) == ends


@pytest.mark.parametrize("degree", [1, 2, 3])
def test_a_pipeline_that_overflows_at_accepted_values_is_not_exported(degree: int) -> None:
    declaration = without_ranges(load_declaration(MODELS / "iris"))
    matrix = np.random.default_rng(0).uniform(-1, 1, (90, 4)).astype(np.float32)
    pipeline = make_pipeline(PolynomialFeatures(degree), LogisticRegression(C=0.1, max_iter=1000))
    pipeline.fit(matrix, np.arange(90) % 3)
    if degree < 3:
        export_files(pipeline, declaration, matrix, lambda _: None)
        return
    with pytest.raises(ParityError, match=r"no number where sepal_length is -1e\+15: declare its range"):
        export_files(pipeline, declaration, matrix, lambda _: None)
