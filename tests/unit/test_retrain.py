"""The gate: which candidates pass, which fail, and comparisons that equal scikit-learn's."""

import csv
import json
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, recall_score, roc_auc_score
from sklearn.pipeline import Pipeline

from bench.gate_honesty import judge
from bundle.declaration import load_declaration
from bundle.manifest import FewRows, load_manifest, sealed
from serving.inference.catalogue import load_model
from tests.harness import HEART, run
from training.build import build
from training.compare import compare, compare_versions, verdict
from training.data import TrainingData, load_recipe, load_training_data
from training.gate import (
    Comparison,
    GateError,
    check_calibration,
    check_differences,
    check_directions,
    check_groups,
    least_rows,
)
from training.metrics import Floats
from training.noise import fit_halves
from training.predictions import Predictions
from training.retrain import lock_folder, main, next_version, retrain
from training.table import DataError

SEED = 3
TARGET = "narrowing_over_50"
IRIS = HEART.parent / "iris"
COMMAND = [sys.executable, "-m", "training.retrain"]
Records = list[dict[str, str]]


def records() -> Records:
    with (HEART / "data.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write(path: Path, rows: Records) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def quiet(_: str) -> None:
    """Say nothing."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shutil.copytree(HEART, tmp_path / "heart-disease")


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def inverted() -> Records:
    return [row | {TARGET: str(1 - int(row[TARGET]))} for row in records()]


def half_shuffled(seed: int) -> Records:
    rows, shuffle = records(), random.Random(seed)
    names = [name for name in rows[0] if name != TARGET]
    for name in shuffle.sample(names, len(names) // 2):
        column = [row[name] for row in rows]
        shuffle.shuffle(column)
        for row, value in zip(rows, column, strict=True):
            row[name] = value
    return rows


def swapped_angina() -> Records:
    return [row | {"exercise_angina": str(1 - int(row["exercise_angina"]))} for row in records()]


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        (inverted, r"labels look inverted: v1 has auc 0\.07 on them, chance 0\.50"),
        (lambda: half_shuffled(1), "columns do not belong together: '"),
        (lambda: half_shuffled(2), "do not belong together: 'cp' and 'the class disease' correlate by 0.14"),
        (lambda: records()[:50], "too few rows: 20 of 'disease' where 50 are needed"),
        (lambda: records() + records()[:40], "duplicated rows: 12% repeat an earlier row, at most 5% may"),
        (swapped_angina, "'exang' and 'the class disease' correlate by -0.43, in the rows of v1 by 0.43"),
    ],
)
def test_rows_that_spoil_a_model_fail(folder: Path, rows: Callable[[], Records], sentence: str) -> None:
    data, before = write(folder.parent / "rows.csv", rows()), contents(folder)
    with pytest.raises(GateError, match=sentence):
        retrain(folder, data, None, None, quiet)
    assert contents(folder) == before


def test_the_same_rows_give_the_same_verdict_and_version(folder: Path, tmp_path: Path) -> None:
    other = shutil.copytree(folder, tmp_path / "again" / "heart-disease")
    messages: dict[Path, list[str]] = {folder: [], other: []}
    for copy, said in messages.items():
        assert retrain(copy, None, None, None, said.append) == "v2"
    assert [line for line in messages[folder] if "wrote" not in line] == [
        line for line in messages[other] if "wrote" not in line
    ]
    assert "No metric of v2 differs from v1's beyond noise on these rows." in messages[folder]
    assert contents(folder) == contents(other)
    again = {name: content for name, content in contents(folder).items() if name.startswith("v1/")}
    assert again == {name: content for name, content in contents(HEART).items() if name.startswith("v1/")}
    assert next_version(folder, load_declaration(folder)) == "v3"


def test_better_data_make_a_version_that_one_setting_serves(folder: Path, tmp_path: Path) -> None:
    few = write(tmp_path / "few.csv", records()[1::4])
    build(folder, "v1", few, quiet)
    said: list[str] = []
    assert retrain(folder, HEART / "data.csv", None, few, said.append) == "v2"
    assert any(line.startswith("v2 is better than v1 in") for line in said), said
    assert list(load_declaration(folder).versions) == ["v1", "v2"]
    assert load_declaration(folder).default_version == "v1"
    first, second = (load_model(folder, name) for name in ("v1", "v2"))
    assert (first.manifest.data.rows, second.manifest.data.rows) == (76, 303)
    assert (second.version, load_model(folder).version) == ("v2", "v1")
    assert "v2" in (folder / "CARD.md").read_text(encoding="utf-8")
    before = contents(folder)
    with pytest.raises(
        DataError, match=r"v2 was trained on other rows than v1.*name the one to train \(VERSION=v1"
    ):
        build(folder, None, None, quiet)
    assert contents(folder) == before


def test_a_file_that_the_served_version_was_not_trained_on_is_reported(folder: Path, tmp_path: Path) -> None:
    data, other = (write(tmp_path / f"{less}.csv", records()[:-less]) for less in (1, 2))
    with pytest.raises(DataError, match="is not the file that v1 was trained on: its sha256 differs"):
        retrain(folder, data, None, other, quiet)


def test_few_rows_that_are_allowed_are_written_on_the_card(folder: Path, tmp_path: Path) -> None:
    few = write(tmp_path / "few.csv", records()[:50])
    assert run(*COMMAND, "--models-dir", tmp_path, "--data", few, "--allow-few-rows").returncode == 0
    manifest = load_manifest(folder / "v2", load_declaration(folder))
    assert manifest.data.few == FewRows(label="disease", rows=20, needed=50)
    said = "Trained with 20 rows of the rarest class, `disease`: below the floor of 50, allowed explicitly."
    assert (folder / "CARD.md").read_text(encoding="utf-8").count(said) == 1
    assert "below the floor of 50" in (folder / "v2" / "card.html").read_text(encoding="utf-8")
    assert load_model(folder, "v2").manifest == manifest


@pytest.mark.parametrize("classes", [2, 3])
def test_the_least_rows_of_a_class_show_a_fifth_lost_and_no_less(classes: int) -> None:
    """A flawless served version against a candidate that gets some rows of the rarest class wrong."""
    declaration = load_declaration(HEART if classes == 2 else IRIS)
    rows = least_rows(declaration)
    labels = np.repeat(np.arange(classes), [*[4 * rows] * (classes - 1), rows])
    served = np.where(np.eye(classes)[labels], 0.9, 0.1 / (classes - 1))[None]
    matrix = np.zeros((len(labels), len(declaration.features)), dtype=np.float32)

    def called_worse(lost: int, seed: int) -> bool:
        candidate = served.copy()
        changed = len(labels) - 1 - np.random.default_rng(seed).permutation(rows)[:lost]
        candidate[0, changed] = np.roll(candidate[0, changed], 1, axis=1)
        before, after = Predictions.pair(declaration, labels, served, candidate)
        differences = compare(declaration, labels, served, candidate)
        told = [d for d in differences if d.metric in {"sensitivity", "accuracy"}]
        told = told * len(differences)  # as many comparisons as there are
        try:
            check_differences(told, Comparison(matrix, before, after), "v1")
        except GateError:
            return True
        return False

    assert not any(called_worse(rows // 5 - 2, seed) for seed in range(10))
    assert sum(called_worse(rows // 5, seed) for seed in range(10)) >= 8


@pytest.fixture(scope="module")
def data() -> TrainingData:
    declaration = load_declaration(HEART)
    return load_training_data(HEART, declaration, load_recipe(HEART), None)


def predicted(data: TrainingData, temper: float = 1, seed: int = 0) -> Floats:
    """Return calibrated probabilities [1, rows, 2], or with a temper over 1 too extreme ones.

    Signals lie 1.5 standard deviations apart, so that 1.5 times the signal is the log-odds.
    """
    noise = np.random.default_rng(seed).normal(size=len(data.labels))
    logit = temper * 1.5 * (1.5 * (data.labels - 0.5) + noise)
    positive = 1 / (1 + np.exp(-logit))
    return np.stack([1 - positive, positive], axis=1)[None]


def compared(data: TrainingData, served: Floats, candidate: Floats) -> Comparison:
    declaration = load_declaration(HEART)
    return Comparison(data.matrix, *Predictions.pair(declaration, data.labels, served, candidate))


def test_a_candidate_that_is_worse_fails(data: TrainingData) -> None:
    served = predicted(data)
    differences = compare(load_declaration(HEART), data.labels, served, served[:, ::-1])
    with pytest.raises(GateError, match=r"worse beyond noise: auc 0\.\d+ where v1 has 0\.\d+"):
        check_differences(differences, compared(data, served, served[:, ::-1]), "v1")
    assert verdict(differences, "v1", "v2").startswith("v2 is worse than v1 in auc and sensitivity and brier")


def test_an_overconfident_candidate_fails(data: TrainingData) -> None:
    served = predicted(data)
    check_calibration(compared(data, served, served))
    with pytest.raises(GateError, match="calibration degrades: slope"):
        check_calibration(compared(data, served, predicted(data, temper=4)))


def test_a_candidate_that_misses_women_fails(data: TrainingData) -> None:
    served = predicted(data)
    check_groups(compared(data, served, served))
    women = data.matrix[:, 1] == 0
    candidate = served.copy()
    candidate[:, women] = [0.9, 0.1]
    with pytest.raises(
        GateError, match=r"higher false negative rate in a group: 100% of sex: female, where the served"
    ):
        check_groups(compared(data, served, candidate))


def check_rising(data: TrainingData, estimator: Any, column: str | None = None) -> None:
    """Check the directions of a fit to the rows, of which a column of yes or no may be exchanged."""
    declaration, matrix = load_declaration(HEART), data.matrix.copy()
    if column:
        place = declaration.feature_names.index(column)
        matrix[:, place] = 1 - matrix[:, place]

    def build() -> Pipeline:
        pipeline = load_recipe(HEART).build_pipeline("logistic_regression", declaration)
        return Pipeline([*pipeline.steps[:-1], ("estimator", clone(estimator))])

    halves = fit_halves(build, matrix, data.labels, 2)
    check_directions(declaration, build().fit(matrix, data.labels), matrix, halves)


def test_a_wrong_direction_fails_and_a_flat_one_does_not(data: TrainingData) -> None:
    check_rising(data, LogisticRegression(C=0.1))
    check_rising(data, DummyClassifier())
    with pytest.raises(GateError, match="'disease' becomes less likely from no to yes of exang"):
        check_rising(data, LogisticRegression(C=0.1), "exang")


@pytest.mark.parametrize(
    ("judged", "damage", "reason"),
    [
        ("iris v1", "honest", None),
        ("iris v1", "a tenth of the labels flipped", "worse than the card beyond noise"),
        ("iris v1", "a column swapped with another", "columns look swapped"),
        ("iris v1", "half the columns shuffled", "columns do not belong together"),
        ("heart-disease v1", "misses hidden in a group", "labels of a group look wrong"),
    ],
)
def test_honest_retrainings_pass_and_damaged_ones_do_not(
    judged: str, damage: str, reason: str | None
) -> None:
    """`python -m bench honesty` judges as many more as it takes to say how often."""
    assert dict(judge(judged, SEED, [damage])) == {damage: reason}


def test_fraud_is_retrained_from_a_table(tmp_path: Path) -> None:
    folder = shutil.copytree(HEART.parent / "fraud", tmp_path / "fraud")
    declaration, recipe = load_declaration(folder), load_recipe(folder)
    rows, named = recipe.generate_data(declaration)
    table = [
        {key: str(value) for key, value in row.items()} | {"outcome": name}
        for row, name in zip(rows, named, strict=True)
    ]
    path = write(tmp_path / "rows.csv", table[:200])
    assert recipe.load_data(path, declaration) == (rows[:200], named[:200])
    assert load_manifest(folder / "v1", declaration).version == "v1"


def test_compared_metrics_are_scikit_learns(data: TrainingData) -> None:
    declaration = load_declaration(HEART)
    first, second = predicted(data), predicted(data, temper=2, seed=1)
    found = {difference.metric: difference for difference in compare(declaration, data.labels, first, second)}
    for index, probabilities in enumerate((first, second)):
        positive = probabilities[0, :, 1]
        expected = {
            "auc": roc_auc_score(data.labels, positive),
            "brier": brier_score_loss(data.labels, positive),
            "sensitivity": recall_score(data.labels, positive >= 0.5),
        }
        for name, value in expected.items():
            assert (found[name].first, found[name].second)[index] == pytest.approx(value)
    for difference in found.values():
        assert difference.lower < difference.value < difference.upper
        assert difference.value == pytest.approx(difference.second - difference.first)
    same = compare(declaration, data.labels, first, first)
    assert [(d.value, d.lower, d.upper, d.better, d.worse) for d in same] == [(0, 0, 0, False, False)] * 3


def test_equal_versions_are_rarely_called_different(data: TrainingData) -> None:
    """Two models of the same skill, 40 times: all intervals hold jointly at 95 %."""
    declaration = load_declaration(HEART)
    different = 0
    for seed in range(40):
        pair = (predicted(data, seed=2 * seed), predicted(data, seed=2 * seed + 1))
        different += any(d.better or d.worse for d in compare(declaration, data.labels, *pair))
    assert different <= 6


def test_versions_are_compared_with_a_warning_if_trained_on_the_rows(tmp_path: Path) -> None:
    folder = shutil.copytree(HEART, tmp_path / "heart-disease")
    said = compare_versions(folder, "v1", "v1", None)
    assert "No metric of v1 differs from v1's beyond noise" in said
    assert "Warning: trained on these rows: v1 and v1." in said
    rows = write(tmp_path / "rows.csv", records()[:-1])
    assert "Warning" not in compare_versions(folder, "v1", "v1", rows)


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["training.retrain", "--data", "few.csv"], 3, "gate failed: too few rows"),
        (["training.compare", "--a", "v1", "--b", "v9"], 1, "error: "),
    ],
)
def test_the_commands_fail_with_a_sentence(
    tmp_path: Path, arguments: list[str], code: int, sentence: str
) -> None:
    write(tmp_path / "few.csv", records()[:50])
    module, *options = [str(tmp_path / word) if word.endswith(".csv") else word for word in arguments]
    done = run(sys.executable, "-m", module, *options, check=False)
    assert done.returncode == code, done.stderr
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_file_is_reported_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--models-dir", str(HEART.parent), "--data", str(tmp_path / "none.csv")]) == 1
    assert "none.csv cannot be read" in capsys.readouterr().err


def test_rising_needs_two_classes() -> None:
    wrong: dict[str, Any] = load_declaration(HEART.parent / "iris").model_dump()
    wrong["features"][0]["rising"] = [[1, 2]]
    with pytest.raises(ValueError, match="has rising, which belongs to models with two classes"):
        type(load_declaration(HEART)).model_validate(wrong)


def test_the_next_version_is_counted_in_ascii_digits(tmp_path: Path) -> None:
    for name in ("v1", "v3", "v9\u00b2", "v9\uff12", "v9-old"):
        (tmp_path / name).mkdir()
    assert next_version(tmp_path, load_declaration(HEART)) == "v4"


def test_two_runs_do_not_write_into_one_folder(folder: Path) -> None:
    with lock_folder(folder):
        second = run(*COMMAND, "--models-dir", folder.parent, check=False)
    said = f"error: another run is retraining {folder}: try again when it has ended\n"
    assert (second.returncode, second.stderr) == (1, said)


def test_on_a_volume_code_comes_from_the_image(tmp_path: Path) -> None:
    """The volume is as earlier releases filled it, and someone who can write there has changed the recipe."""
    image, volume = HEART.parent, tmp_path / "volume"
    folder = shutil.copytree(image / "iris", volume / "iris")
    (folder / "recipe.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n", encoding="utf-8")
    (folder / "data.csv").write_text("", encoding="utf-8")
    there = contents(folder)
    done = run(*COMMAND, "--model", "iris", "--models-dir", volume, "--models-from", image, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert not (tmp_path / "ran").exists()
    assert done.stdout.count(f"{folder / 'recipe.py'} is not used: code comes from {image / 'iris'}") == 1
    new = {name for name in contents(folder).keys() - there.keys() if name.startswith("v2/")}
    assert new == {name.replace("v1/", "v2/") for name in there if "v1/" in name} - {"v2/model.joblib"}
    assert load_model(folder, "v2").version == "v2"


def test_a_version_by_an_undeclared_estimator_is_rejected(folder: Path) -> None:
    path = folder / "v1" / "bundle.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["estimator"]["name"] = 'x"\n[versions.v9]'
    path.write_text(json.dumps(sealed(manifest)), encoding="utf-8")
    with pytest.raises(DataError, match=r"v1 names an estimator that model\.toml does not: train it again"):
        retrain(folder, None, None, None, quiet)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (f"runs:/{'0' * 32}/rows.csv", f"runs:/{'0' * 32}/rows.csv needs MLFLOW_TRACKING_URI, such as"),
        ("runs:/latest/rows.csv", "runs:/latest/rows.csv is no artifact of a run, such as runs:/000"),
    ],
)
def test_unavailable_artifacts_are_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], data: str, sentence: str
) -> None:
    """tests/compose/test_mlflow.py has a real MLflow."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(SystemExit) as ended:
        main(["--data", data])
    assert ended.value.code == 2
    assert f"error: argument --data: {sentence}" in capsys.readouterr().err
