"""A declaration that is ambiguous, or that the matrix cannot hold, is rejected in a sentence."""

import math
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bundle.declaration import Declaration, load_declaration
from bundle.errors import BundleError
from tests.harness import HEART
from tests.systems import MODELS

Change = Callable[[dict[str, Any]], object]


def declared() -> dict[str, Any]:
    return tomllib.loads((HEART / "model.toml").read_text(encoding="utf-8"))


def rejected(change: Change, sentence: str) -> None:
    content = declared()
    change(content)
    with pytest.raises(ValueError, match=sentence):
        Declaration.model_validate(content)


def accepted(change: Change) -> Declaration:
    content = declared()
    change(content)
    return Declaration.model_validate(content)


def feature(name: str, **changes: Any) -> Change:
    def change(content: dict[str, Any]) -> None:
        next(
            declared_feature for declared_feature in content["features"] if declared_feature["name"] == name
        ).update(changes)

    return change


def second_class(**changes: Any) -> Change:
    return lambda content: content["classes"][1].update(changes)


@pytest.mark.parametrize("model", sorted(path.parent.name for path in MODELS.glob("*/model.toml")))
def test_shipped_declarations_are_accepted(model: str) -> None:
    load_declaration(MODELS / model)


@pytest.mark.parametrize(
    "changes",
    [
        {"label": "no_disease"},
        {"prediction": 0},
        {"prediction": "0"},
        {"prediction": "0.0"},
        {"prediction": "\uff10\uff10"},
        {"prediction": "no_disease"},
    ],
)
def test_classes_that_answers_or_outcomes_could_confuse_are_rejected(changes: dict[str, Any]) -> None:
    rejected(second_class(**changes), "two classes have the label or prediction")


@pytest.mark.parametrize("targets", [("disease", "no_disease"), ("1", "0"), ("1.0", "healthy"), ("x", "0")])
def test_a_target_that_is_another_classs_label_or_prediction_is_rejected(targets: tuple[str, str]) -> None:
    def swap(content: dict[str, Any]) -> None:
        for declared, target in zip(content["classes"], targets, strict=True):
            declared["target"] = target

    rejected(swap, "is another class's label or prediction")


@pytest.mark.parametrize("target", ["0", "0.0", "+0"])
def test_two_classes_with_one_target_are_rejected(target: str) -> None:
    rejected(second_class(target=target), "two classes have the target")


@pytest.mark.parametrize("prediction", [True, 1.0, "", " 1", None])
def test_a_prediction_is_a_whole_number_or_a_word(prediction: object) -> None:
    rejected(second_class(prediction=prediction), r"classes\.1\.prediction")


def test_a_class_may_use_its_label_as_prediction_and_target() -> None:
    def change(content: dict[str, Any]) -> None:
        content["classes"] = [{"label": name, "prediction": name} for name in ("well", "ill")]

    assert accepted(change).targets == {"well": "well", "ill": "ill"}
    assert accepted(lambda _: None).targets == {"0": "no_disease", "1": "disease"}


def test_a_class_that_is_also_a_feature_is_rejected() -> None:
    rejected(lambda content: content.update(target="age"), "target 'age' is also the column of a feature")
    rejected(feature("chol", column="age"), "two features have the column 'age'")
    rejected(feature("chol", column=" age"), "begins or ends with a blank")


@pytest.mark.parametrize(
    ("codes", "sentence"),
    [
        ({"1": 0, "2": 1, "3": 2}, "'1' reads as a number that means '2'"),
        ({"male": 1, "1": 0}, "'1' reads as a number that means 'male'"),
        ({"01": 0, "male": 1}, "'01' reads as a number that means 'male'"),
        ({"1.0": 0, "male": 1}, "reads as a number that means 'male'"),
        ({"+1": 0, "male": 1}, "reads as a number that means 'male'"),
        ({"1e0": 0, "male": 1}, "reads as a number that means 'male'"),
        ({"\uff11": 0, "male": 1}, "reads as a number that means 'male'"),
        ({"\u0660\u0661": 0, "male": 1}, "reads as a number that means 'male'"),
        ({"\u22121": 0, "male": -1, "other": 1}, "reads as a number that means 'male'"),
        ({"7": 0, "07": 1}, "'07' reads as a number that means '7'"),
        ({" 1": 0, "male": 1}, "begins or ends with a blank"),
        ({"female\u00a0": 0, "male": 1}, "begins or ends with a blank"),
        ({"": 0, "male": 1}, "is empty"),
        ({"female": 1, "male": 1}, "two categories have the same code"),
        ({"female": False, "male": True}, "valid integer"),
        ({"female": 0, "male": "1"}, "valid integer"),
        ({"female": 0, "male": 1.0}, "valid integer"),
        ({"female": 0, "male": 1, "other": 2**24 + 1}, "less than or equal to 16777216"),
        ({"female": 0, "male": 1, "other": 10**400}, "less than or equal to 16777216"),
    ],
)
def test_ambiguous_codes_are_rejected(codes: dict[str, Any], sentence: str) -> None:
    rejected(feature("sex", codes=codes), sentence)


@pytest.mark.parametrize("missing", ["0", "0.0", "-0"])
def test_a_name_that_is_a_missing_code_is_rejected(missing: str) -> None:
    codes = {"fixed defect": 1, "normal": 2, "reversible defect": 3, missing: 4}
    rejected(feature("thal", codes=codes), "reads as a number that means missing")
    codes = {"fixed defect": 0, "normal": 2, "reversible defect": 3}
    rejected(feature("thal", codes=codes), "a missing code and 'fixed defect' have the same code 0")


@pytest.mark.parametrize(
    "codes",
    [
        {"0": 0, "1": 1},
        {"0": 0, "1.0": 1},
        {"a": 0, "A": 1},
        {"20-30": 0, "30-40": 1},
        {"nan": 0, "1,000": 1},
    ],
)
def test_unambiguous_codes_are_accepted(codes: dict[str, int]) -> None:
    accepted(feature("sex", codes=codes))


@pytest.mark.parametrize(
    ("name", "changes", "sentence"),
    [
        ("oldpeak", {"range": [False, 10]}, "valid number"),
        ("oldpeak", {"range": ["0", "10"]}, "valid number"),
        ("oldpeak", {"range": [0, math.inf]}, r"range\.1"),
        ("oldpeak", {"range": [math.nan, 10]}, r"range\.0"),
        ("oldpeak", {"range": [0, 1e300]}, r"range\.1"),
        ("oldpeak", {"range": [0, 10**400]}, r"range\.1"),
        ("oldpeak", {"range": [1e9, 1e9 + 10]}, "float32 distinguishes too few values"),
        ("chol", {"range": [50, 2**24 + 1]}, "a whole number beyond 16777216 loses its last digits"),
        ("chol", {"range": [-(2**24) - 1, 1000]}, "a whole number beyond 16777216 loses its last digits"),
        ("ca", {"missing_codes": [True]}, "valid integer"),
        ("ca", {"missing_codes": ["4"]}, "valid integer"),
        ("ca", {"missing_codes": [4.0]}, "valid integer"),
        ("ca", {"nullable": "yes"}, "valid boolean"),
        ("ca", {"nullable": 1}, "valid boolean"),
        ("ca", {"rising": [[3, 4]]}, "rising of ca holds a missing code"),
        ("ca", {"rising": [[False, True]]}, "rising"),
        ("exang", {"rising": [[False, True]]}, "rising"),
    ],
)
def test_a_number_that_the_matrix_cannot_hold_is_rejected(
    name: str, changes: dict[str, Any], sentence: str
) -> None:
    rejected(feature(name, **changes), sentence)


def test_the_largest_exact_whole_numbers_are_accepted() -> None:
    accepted(feature("chol", range=[-(2**24), 2**24]))
    accepted(feature("oldpeak", range=[0, 8e9]))
    accepted(feature("sex", codes={"female": 0, "male": 1, "other": 2**24}))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda content: content["example"].update(sex=True), r"example\.sex"),
        (lambda content: content["example"].update(oldpeak=math.nan), r"example\.oldpeak"),
        (lambda content: content["example"].update(age="63"), "must be a whole number"),
        (lambda content: content.update(threshold="0.5"), "threshold"),
        (lambda content: content.update(threshold=True), "threshold"),
        (lambda content: content.update(threshold=math.nan), "threshold"),
        (lambda content: content.update(cost_of_false_negative=True), "cost_of_false_negative"),
        (lambda content: content.update(cost_of_false_negative=math.inf), "cost_of_false_negative"),
        (lambda content: content["groups"][1].update(edges=[60, 50]), "edges rise from one to the next"),
        (lambda content: content["groups"][1].update(edges=[50, math.nan]), "edges"),
        (lambda content: content["groups"][1].update(edges=[]), "a group of a number has edges"),
        (lambda content: content["groups"][0].update(edges=[1]), "a group of a number has edges"),
        (lambda content: content.update(routes={"versioned": 1}), "valid boolean"),
    ],
)
def test_values_of_the_wrong_type_or_order_are_rejected(change: Change, sentence: str) -> None:
    rejected(change, sentence)


def test_the_server_names_the_file_and_the_place(tmp_path: Path) -> None:
    folder = tmp_path / "heart-disease"
    folder.mkdir()
    text = (HEART / "model.toml").read_text(encoding="utf-8")
    text = text.replace("codes = { female = 0, male = 1 }", 'codes = { "1" = 0, "2" = 1 }')
    (folder / "model.toml").write_text(text, encoding="utf-8")
    with pytest.raises(
        BundleError, match=r"model\.toml is not a valid declaration: features\.sex: '1' reads"
    ):
        load_declaration(folder)


@pytest.mark.parametrize(
    ("line", "hint"),
    [("routes = { lists = True }", ": write true"), ("False = FALSE", ": write false"), ("x = Truest", "")],
)
def test_a_switch_as_python_writes_it_is_corrected(line: str, hint: str, tmp_path: Path) -> None:
    (tmp_path / "model.toml").write_text(f"\n{line}\n", encoding="utf-8")
    with pytest.raises(BundleError) as caught:
        load_declaration(tmp_path)
    assert str(caught.value).partition("(at line 2")[2].partition(")")[2] == hint


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("cost_of_miss = 5", "cost_of_miss is now called cost_of_false_negative: rename it"),
        ('health = { missed = "miss_rate" }', "miss_rate is now called false_negative_rate: rename it"),
    ],
)
def test_a_renamed_setting_is_rejected_with_its_new_name(line: str, sentence: str, tmp_path: Path) -> None:
    folder = tmp_path / "heart-disease"
    folder.mkdir()
    kept = (HEART / "model.toml").read_text(encoding="utf-8")
    (folder / "model.toml").write_text(f"{line}\n{kept}", encoding="utf-8")
    with pytest.raises(BundleError, match=sentence):
        load_declaration(folder)
