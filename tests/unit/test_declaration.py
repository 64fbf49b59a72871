"""A declaration that could mean two things, or that the matrix cannot hold, is refused in a sentence."""

import tomllib
from collections.abc import Callable
from typing import Any

import pytest

from bundle.declaration import Declaration, load_declaration
from tests.harness import HEART
from tests.systems import MODELS

Change = Callable[[dict[str, Any]], object]


def declared() -> dict[str, Any]:
    return tomllib.loads((HEART / "model.toml").read_text(encoding="utf-8"))


def refused(change: Change, sentence: str) -> None:
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
        next(its for its in content["features"] if its["name"] == name).update(changes)

    return change


def second_class(**changes: Any) -> Change:
    return lambda content: content["classes"][1].update(changes)


@pytest.mark.parametrize("model", sorted(path.parent.name for path in MODELS.glob("*/model.toml")))
def test_what_is_shipped_is_accepted(model: str) -> None:
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
def test_two_classes_that_answers_or_outcomes_could_confuse_are_refused(changes: dict[str, Any]) -> None:
    refused(second_class(**changes), "two classes have the label or prediction")


@pytest.mark.parametrize("target", ["0", "0.0", "+0"])
def test_two_classes_with_one_target_are_refused(target: str) -> None:
    refused(second_class(target=target), "two classes have the target")


@pytest.mark.parametrize("prediction", [True, 1.0, "", " 1", None])
def test_a_prediction_is_a_whole_number_or_a_word(prediction: object) -> None:
    refused(second_class(prediction=prediction), r"classes\.1\.prediction")


def test_a_class_may_be_shown_by_its_label_and_stand_in_the_table_under_it() -> None:
    def change(content: dict[str, Any]) -> None:
        content["classes"] = [{"label": name, "prediction": name} for name in ("well", "ill")]

    assert accepted(change).targets == {"well": "well", "ill": "ill"}
    assert accepted(lambda _: None).targets == {"0": "no_disease", "1": "disease"}


def test_a_class_that_is_also_a_feature_is_refused() -> None:
    refused(lambda content: content.update(target="age"), "target 'age' is also the column of a feature")
    refused(feature("chol", column="age"), "two features have the column 'age'")
    refused(feature("chol", column=" age"), "begins or ends with a blank")
