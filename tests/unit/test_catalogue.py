"""An invalid bundle stops startup with one sentence that names the file."""

import json
import math
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundle.declaration import load_declaration
from bundle.encoding import Matrix
from bundle.errors import BundleError
from bundle.manifest import sealed, sha256
from serving.inference.catalogue import ServedModel, TrainedRange, load_model
from serving.inference.engine import EngineError, OnnxEngine
from tests.harness import HEART, SAMPLE


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(HEART, tmp_path / "heart-disease"))


def edit_manifest(folder: Path, change: Callable[[dict[str, Any]], object], *, sealing: bool = True) -> None:
    """Change bundle.json and seal it again; or leave its seal as it was."""
    path = folder / "v1" / "bundle.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    change(manifest)
    path.write_text(json.dumps(sealed(manifest) if sealing else manifest), encoding="utf-8")


def redeclare(folder: Path, old: str, new: str) -> None:
    """Change model.toml, and make bundle.json claim that it was trained with the change."""
    replace(folder / "model.toml", old, new)
    declaration = sha256(load_declaration(folder).deciding)
    edit_manifest(folder, lambda m: m.update(declaration=declaration))


def instead(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


def distribution(feature: str, **change: object) -> Callable[[Path], object]:
    return lambda folder: edit_manifest(folder, lambda m: m["distribution"][feature].update(change))


def flip_one_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


FAULTS: list[tuple[Callable[[Path], object], str, str]] = [
    (lambda f: flip_one_byte(f / "v1/model.onnx"), "v1/model.onnx", "its sha256 differs"),
    (lambda f: flip_one_byte(f / "v1/model.joblib"), "v1/model.joblib", "its sha256 differs"),
    (lambda f: flip_one_byte(f / "v1/calibration.svg"), "v1/calibration.svg", "its sha256 differs"),
    (lambda f: (f / "v1/model.onnx").unlink(), "v1/model.onnx", "cannot be read"),
    (lambda f: (f / "v1/bundle.json").unlink(), "v1/bundle.json", "cannot be read"),
    (lambda f: (f / "v1/bundle.json").write_text("{"), "v1/bundle.json", "is not JSON"),
    (lambda f: (f / "v1/bundle.json").write_text("[" * 10**5), "v1/bundle.json", "is not JSON"),
    (lambda f: (f / "v1/bundle.json").write_text("[4]"), "v1/bundle.json", "no bundle manifest"),
    (
        lambda f: edit_manifest(f, lambda m: m.update(schema_version=4)),
        "v1/bundle.json",
        "no bundle manifest of schema_version 5: train the model again (make train MODEL=heart-disease)",
    ),
    (lambda f: edit_manifest(f, lambda m: m.update(surprise=1)), "v1/bundle.json", "surprise"),
    (lambda f: edit_manifest(f, lambda m: m.update(model="iris")), "v1/bundle.json", "another 'model'"),
    (lambda f: edit_manifest(f, lambda m: m["features"].reverse()), "v1/bundle.json", "another 'features'"),
    (lambda f: edit_manifest(f, lambda m: m["distribution"].pop("age")), "v1/bundle.json", "is incomplete"),
    (lambda f: edit_manifest(f, lambda m: m["files"].pop("model.onnx")), "v1/bundle.json", "is incomplete"),
    (
        lambda f: edit_manifest(f, lambda m: m["probes"][0].update(probabilities=[0.5, 0.5])),
        "v1/additive.json",
        "probe row 0 is off by",
    ),
    (
        lambda f: edit_manifest(f, lambda m: m["probes"][0]["row"].update(age=-1)),
        "v1",
        "does not accept a probe row",
    ),
    (
        lambda f: redeclare(f, "asymptomatic = 0", "asymptomatic = 9"),
        "v1/additive.json",
        "other features or codes than model.toml",
    ),
    (
        lambda f: redeclare(f, "female = 0, male = 1", "female = 1, male = 0"),
        "v1/additive.json",
        "probe row",
    ),
    # what decides an answer
    *(
        (lambda f, by=by: edit_manifest(f, lambda m: m.update(threshold=by)), "v1/bundle.json", reason)
        for by, reason in (
            (-5, "another 'threshold'"),
            (0.4, "another 'threshold'"),
            (1e400, "is not JSON"),
            (math.nan, "is not JSON"),
            (None, "another 'threshold'"),
            ("half", "threshold"),
        )
    ),
    *(
        (
            lambda f, old=old, new=new: replace(f / "model.toml", old, new),
            "model.toml",
            "changed after v1 was trained",
        )
        for old, new in (
            ('"no_disease", prediction = 0', '"no_disease", prediction = 2'),
            ('"disease", prediction = 1', '"disease", prediction = "sick"'),
            ("asymptomatic = 0", "asymptomatic = 9"),
            ("female = 0, male = 1", "female = 1, male = 0"),
            ('unit = "mg/dl"', 'unit = "g/l"'),
            ("range = [50, 300]", "range = [50, 400]"),
            ('type = "integer"\nunit = "years"', 'type = "number"\nunit = "years"'),
            ("missing_codes = [4]", "missing_codes = [4, 9]"),
        )
    ),
    (
        lambda f: replace(f / "model.toml", "threshold = 0.5", "threshold = 0.4"),
        "v1/bundle.json",
        "another 'threshold'",
    ),
    (
        lambda f: edit_manifest(f, lambda m: m["distribution"]["age"].update(maximum=90), sealing=False),
        "v1/bundle.json",
        "was edited after training",
    ),
    (
        lambda f: edit_manifest(f, lambda m: m.update(sha256=64 * "0"), sealing=False),
        "v1/bundle.json",
        "was edited after training",
    ),
    (lambda f: edit_manifest(f, lambda m: m["data"].update(rows=10**400)), "v1/bundle.json", "data.rows"),
    (
        lambda f: replace(f / "v1/bundle.json", '"rows": 303', f'"rows": {"9" * 5000}'),
        "v1/bundle.json",
        "JSON",
    ),
    (distribution("age", edges=[1.0, 2.0]), "v1/bundle.json", "edges must ascend from minimum to maximum"),
    (distribution("age", edges=[50.0, 40.0]), "v1/bundle.json", "edges must ascend"),
    (distribution("age", edges=[50.0, 50.0]), "v1/bundle.json", "edges must ascend"),
    (distribution("age", edges=[]), "v1/bundle.json", "one share more than edges"),
    (distribution("age", shares=[0.5, 0.5]), "v1/bundle.json", "one share more than edges"),
    (distribution("age", missing=0.5), "v1/bundle.json", "shares must sum up to 1"),
    (distribution("age", mean=900.0), "v1/bundle.json", "mean must lie between"),
    (distribution("age", minimum=1e400), "v1/bundle.json", "is not JSON"),
    (distribution("sex", shares={"female": 0.1, "male": 0.2}), "v1/bundle.json", "sum up to 1"),
    (distribution("sex", shares={"female": 1.5, "male": -0.5}), "v1/bundle.json", "must be at most 1"),
    (
        lambda f: edit_manifest(f, lambda m: m["distribution"].update(age={"shares": {}, "missing": 1})),
        "v1/bundle.json",
        "other categories of 'age'",
    ),
    (
        lambda f: edit_manifest(f, lambda m: m["evaluation"]["expectation"]["shares"].update(disease=0.9)),
        "v1/bundle.json",
        "sum up to 1",
    ),
    (
        lambda f: edit_manifest(
            f, lambda m: m["evaluation"]["expectation"].update(shares={"no_disease": 0.5, "sick": 0.5})
        ),
        "v1/bundle.json",
        "other classes than model.toml",
    ),
    (
        lambda f: edit_manifest(f, lambda m: m["probes"][0].update(probabilities=[0.2, 0.3, 0.5])),
        "v1/bundle.json",
        "other classes than model.toml",
    ),
    (
        lambda f: edit_manifest(f, lambda m: m["probes"][0].update(probabilities=[0.0, 0.0])),
        "v1/bundle.json",
        "sum up to 1",
    ),
    # no regular files: nothing may hang
    *(
        (lambda f, name=name, make=make: instead(f / name, make), name, reason)
        for name in ("model.toml", "v1/bundle.json", "v1/additive.json", "v1/model.joblib")
        for make, reason in (
            (os.mkfifo, "not a regular file"),
            (lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
            (Path.mkdir, "not a regular file"),
        )
    ),
    (lambda f: instead(f / "v1/card.html", lambda path: path.symlink_to(path)), "v1/card.html", "be read"),
    (
        lambda f: os.truncate(f / "v1/model.onnx", 2**31),
        "v1/model.onnx",
        "it is larger than 2147483647 bytes",
    ),
    (lambda f: os.truncate(f / "model.toml", 2**31), "model.toml", "it is larger than 1048576 bytes"),
    (lambda f: (f / "model.toml").write_text("a = " + "[" * 10**5), "model.toml", "cannot be read"),
    (lambda f: (f / "model.toml").write_text(f"a = {'9' * 5000}"), "model.toml", "cannot be read"),
    (lambda f: (f / "model.toml").write_text(f"a{'.a' * 30_000} = 1"), "model.toml", "more than 300 dots"),
    (lambda f: (f / "model.toml").write_text(f"[a{' . a' * 9_000}]"), "model.toml", "more than 300 dots"),
    (
        lambda f: edit_manifest(f, lambda m: m["inspected"].update({"a" * 300: 64 * "0"})),
        "v1/bundle.json",
        "inspected",
    ),
    (
        lambda f: edit_manifest(f, lambda m: m["files"].update({"a" * 300: 64 * "0"})),
        "v1/bundle.json",
        "files",
    ),
    (lambda f: (f / "model.toml").write_bytes(b"a = '\xff'"), "model.toml", "cannot be read"),
    (
        lambda f: redeclare(f, 'typical angina" = 3 }', 'typical angina" = 3, none = 4 }'),
        "v1/bundle.json",
        "other categories of 'cp'",
    ),
    (
        lambda f: edit_manifest(f, lambda m: m["distribution"].update(fbs=m["distribution"]["age"])),
        "v1/bundle.json",
        "other categories of 'fbs'",
    ),
    (
        lambda f: replace(f / "model.toml", 'name = "sex"', 'name = "score"'),
        "model.toml",
        "no feature can have the name 'score'",
    ),
    (lambda f: shutil.rmtree(f / "v1"), "v1", "has these versions: none"),
    (lambda f: (f / "model.toml").unlink(), "model.toml", "is missing"),
    (lambda f: (f / "model.toml").write_text("name ="), "model.toml", "cannot be read"),
    (lambda f: replace(f / "model.toml", "threshold = 0.5", "threshold = 5"), "model.toml", "threshold"),
    (
        lambda f: replace(f / "model.toml", "threshold = 0.5", ""),
        "model.toml",
        "a model with two classes needs a threshold",
    ),
    (lambda f: replace(f / "model.toml", 'name = "sex"', 'name = "age"'), "model.toml", "the same name"),
    (
        lambda f: replace(f / "model.toml", "range = [0, 3]", "range = [3, 0]"),
        "model.toml",
        "a lower to a higher",
    ),
    (lambda f: replace(f / "model.toml", "[4]", "[3]"), "model.toml", "outside of the range"),
    (lambda f: replace(f / "model.toml", "[0]", "[1]"), "model.toml", "the same code"),
    (
        lambda f: replace(f / "model.toml", "age = 63", "age = 630"),
        "model.toml",
        "whole number from 18 to 120",
    ),
    (lambda f: replace(f / "model.toml", "age = 63", "old = 63"), "model.toml", "a value for each feature"),
    (lambda f: replace(f / "model.toml", "nullable = true", ""), "model.toml", "is not nullable"),
    (lambda f: replace(f / "model.toml", "threshold = 0.5", "treshold = 0.5"), "model.toml", "treshold"),
    (
        lambda f: replace(f / "model.toml", 'name = "heart-disease"', 'name = "x"'),
        "model.toml",
        "its folder is",
    ),
]


@pytest.mark.parametrize(("break_it", "file", "reason"), FAULTS)
def test_a_broken_bundle_is_rejected(
    folder: Path, break_it: Callable[[Path], object], file: str, reason: str
) -> None:
    break_it(folder)
    with pytest.raises(BundleError) as caught:
        load_model(folder)
    sentence = str(caught.value)
    assert str(folder / file) in sentence
    assert reason in sentence
    assert "\n" not in sentence


def test_a_bundle_serves_without_the_files_of_training(folder: Path) -> None:
    for name in ("v1/model.joblib", "recipe.py", "data.csv"):
        (folder / name).unlink()
    served = load_model(folder)
    assert served.predict(served.encode([SAMPLE])) == load_model(HEART).predict(served.encode([SAMPLE]))


def test_a_declarations_texts_may_change_after_training(folder: Path) -> None:
    replace(folder / "model.toml", 'title = "Heart disease"', 'title = "Heart"')
    replace(folder / "model.toml", 'description = "Age"', 'description = "Years since birth"')
    assert load_model(folder).declaration.title == "Heart"


def test_an_invalid_onnx_file_is_rejected() -> None:
    for content in (b"", b"not a model", b"\x08\x07", b"\x00\x00\x00\x00ORTM"):
        with pytest.raises(EngineError, match="it is no ONNX model"):
            OnnxEngine(content)
    with pytest.raises(EngineError, match="ONNX Runtime rejects it"):
        OnnxEngine(b"\x3a\x02\x12\x00")  # a graph with a name, and nothing else


class Nowhere:
    """An engine that returns something that is not a probability."""

    def probabilities(self, matrix: Matrix) -> Matrix:
        return np.full((len(matrix), 2), np.nan, dtype=np.float32)

    def row(self, values: Sequence[float]) -> list[float]:
        return [math.nan for _ in values[:2]]


def test_a_probe_answered_with_nan_fails() -> None:
    with pytest.raises(BundleError, match="probe row 0 is off by nan"):
        load_model(HEART, wrap=lambda _: Nowhere())


def test_an_engine_failure_is_one_kind_of_error(heart: ServedModel) -> None:
    engine = OnnxEngine((HEART / "v1" / "model.onnx").read_bytes())
    with pytest.raises(EngineError, match="ONNX Runtime failed"):
        engine.probabilities(np.zeros((1, 3), dtype=np.float32))
    poisoned = heart.encode([SAMPLE])
    poisoned[0, [3, 7]] = np.inf  # blood pressure and thalach pull in opposite directions
    with pytest.raises(EngineError, match="not a number"):
        engine.probabilities(poisoned)
    with pytest.raises(EngineError, match="not a number"):
        engine.row(poisoned[0].tolist())


def test_the_threshold_applies_to_the_probability_shown() -> None:
    row = load_model(HEART).encode([SAMPLE])
    probability = load_model(HEART).predict(row)[0].probabilities[1]
    at = load_model(HEART, threshold=probability).predict(row)[0]
    above = load_model(HEART, threshold=probability + 1e-6).predict(row)[0]
    assert [at.class_index, above.class_index] == [1, 0]
    assert [at.confidence, above.confidence] == pytest.approx([probability, 1 - probability])


def test_values_outside_the_training_range_get_a_warning(heart: ServedModel) -> None:
    rows = [SAMPLE, SAMPLE | {"age": 29, "oldpeak": 6.2, "ca": None}, SAMPLE | {"age": 78, "oldpeak": 6.3}]
    answers = heart.predict(heart.encode(rows))
    assert [[w.field for w in answer.warnings] for answer in answers] == [[], [], ["age", "oldpeak"]]
    age = answers[2].warnings[0]
    assert isinstance(age, TrainedRange)
    assert (age.minimum, age.maximum, age.unit) == (29, 77, "years")
