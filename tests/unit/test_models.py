"""Every shipped bundle is what its recipe makes of its data, and says so."""

import json
import os
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.datasets import load_iris

from bundle.distributions import NumberDistribution
from bundle.encoding import Encoder
from bundle.manifest import load_manifest, read_files, sha256
from tests.systems import MODELS, PAGES, System
from training.build import build
from training.data import load_recipe, load_rows
from training.export import check_parity, generate_rows
from training.table import DataError

VERSIONS = [(name, version) for name in PAGES for version in System(name).declaration.versions]


@pytest.mark.parametrize(("name", "version"), VERSIONS)
def test_the_committed_onnx_model_is_the_committed_pipeline(name: str, version: str) -> None:
    declaration = System(name).declaration
    folder = MODELS / name / version
    manifest = load_manifest(folder, declaration)
    model = read_files(folder, manifest)["model.onnx"]
    pipeline = joblib.load(folder / "model.joblib")
    probes = Encoder(declaration).encode([probe.row for probe in manifest.probes])
    assert check_parity(pipeline, model, [probes, generate_rows(declaration, manifest.distribution)]) < 1e-5


@pytest.mark.parametrize(("name", "version"), VERSIONS)
def test_the_card_shows_the_metrics_of_every_version(name: str, version: str) -> None:
    card = (MODELS / name / "CARD.md").read_text(encoding="utf-8")
    manifest = load_manifest(MODELS / name / version, System(name).declaration)
    section = card.partition(f"### {version}: {manifest.estimator.name}")[2].partition("\n### ")[0]
    for estimate in manifest.evaluation.metrics.values():
        assert f"| {estimate.value:.3f} | {estimate.lower:.3f} to {estimate.upper:.3f} |" in section


@pytest.mark.parametrize("name", ["heart-disease", "iris", "fraud"])
def test_the_bundle_was_trained_on_the_committed_data(name: str) -> None:
    system = System(name)
    rows, labels, digest = load_rows(system.folder, system.declaration, load_recipe(system.folder), None)
    assert digest == system.manifest.data.sha256
    assert len(rows) == len(labels) == system.manifest.data.rows


@pytest.mark.parametrize(("name", "version"), VERSIONS)
def test_probes_are_synthetic_and_cover_all_accepted_values(name: str, version: str) -> None:
    declaration = System(name).declaration
    manifest = load_manifest(MODELS / name / version, declaration)
    for feature in declaration.features:
        shown = {probe.row[feature.name] for probe in manifest.probes}
        assert (None in shown) == feature.nullable
        trained = manifest.distribution[feature.name]
        if isinstance(trained, NumberDistribution):
            assert {trained.minimum, trained.maximum} <= shown
        else:
            assert set(trained.shares) <= shown


@pytest.mark.parametrize("name", PAGES)
def test_a_bundle_contains_no_row_of_the_data(name: str) -> None:
    system, data = System(name), os.environ.get("CHURN_DATA")
    if name == "churn" and not data:
        pytest.skip("no churn data: set CHURN_DATA")
    given = Path(data) if name == "churn" and data else None
    rows, _, _ = load_rows(system.folder, system.declaration, load_recipe(system.folder), given)
    encoder = Encoder(system.declaration)
    learnt = {row.tobytes() for row in encoder.encode(rows)}
    for version in system.declaration.versions:
        manifest = load_manifest(system.folder / version, system.declaration)
        probes = encoder.encode([probe.row for probe in manifest.probes])
        assert not learnt & {row.tobytes() for row in probes}


def test_iris_is_fishers() -> None:
    system = System("iris")
    rows, labels, _ = load_rows(system.folder, system.declaration, load_recipe(system.folder), None)
    fisher = load_iris()
    assert np.array([list(row.values()) for row in rows], dtype=float).tolist() == fisher.data.tolist()
    assert labels.tolist() == fisher.target.tolist()
    assert system.declaration.labels == fisher.target_names.tolist()


def test_fraud_is_synthetic_rare_and_called_so() -> None:
    system = System("fraud")
    rows, labels, _ = load_rows(system.folder, system.declaration, load_recipe(system.folder), None)
    assert 0.02 < labels.mean() < 0.04
    assert json.dumps(rows[:3].data) == json.dumps(
        load_recipe(system.folder).generate_data(system.declaration)[0][:3].data
    )
    card = (system.folder / "CARD.md").read_text(encoding="utf-8")
    assert "synthetic payments" in card
    assert "Area under the precision-recall curve" in card


@pytest.mark.parametrize(("version", "auc"), [("v1", 0.845), ("v2", 0.8475)])
def test_churn_reaches_the_auc_of_an_independent_ten_fold_run(version: str, auc: float) -> None:
    system = System("churn")
    manifest = load_manifest(system.folder / version, system.declaration)
    assert manifest.evaluation.method.startswith("1 x 10-fold")
    assert manifest.evaluation.metrics["auc"].value == pytest.approx(auc, abs=0.005)


def test_churn_without_its_table_says_where_to_get_it() -> None:
    with pytest.raises(DataError, match=r"comes without its data: give it with DATA=FILE.*Telco"):
        build(MODELS / "churn", None, None, say=lambda _: None)


@pytest.mark.skipif(not os.environ.get("CHURN_DATA"), reason="no churn data: set CHURN_DATA")
def test_training_churn_again_gives_the_committed_model(tmp_path: Path) -> None:
    data = Path(os.environ["CHURN_DATA"])
    committed = System("churn")
    manifest = load_manifest(committed.folder / "v1", committed.declaration)
    assert sha256(data.read_bytes()) == manifest.data.sha256
    folder = tmp_path / "churn"
    folder.mkdir()
    for name in ("model.toml", "recipe.py"):
        (folder / name).write_bytes((committed.folder / name).read_bytes())
    (again,) = build(folder, "v1", data, say=lambda _: None)
    for name, estimate in again.evaluation.metrics.items():
        assert estimate.value == pytest.approx(manifest.evaluation.metrics[name].value, abs=0.002), name
    assert "### v1" in (folder / "CARD.md").read_text(encoding="utf-8")
