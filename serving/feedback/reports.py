"""What a client reports of a prediction: its members, and the outcome that they mean."""

from time import time
from typing import Any

from bundle.declaration import Declaration
from bundle.score import score
from serving.errors import ValidationError
from serving.feedback.outcomes import Outcome
from serving.feedback.prediction_ids import SignedPrediction

REQUIRED = {"prediction_id", "outcome"}
ALLOWED = REQUIRED | {"correction"}
MOST_MEMBERS = len(ALLOWED)
UNCORRECTED = "corrections are not accepted where anybody can report"


def check_members(body: Any) -> None:
    if not isinstance(body, dict) or len(body) > MOST_MEMBERS or not REQUIRED <= body.keys() <= ALLOWED:
        raise ValidationError(
            "Feedback is an object with two members, 'prediction_id' and 'outcome', and at most a third, "
            "'correction'."
        )


def read_correction(value: object, *, allowed: bool) -> bool:
    """Return whether the outcome may replace another."""
    if not isinstance(value, bool):
        raise ValidationError("'correction' must be true or false.")
    if value and not allowed:
        raise ValidationError(f"{UNCORRECTED.capitalize()}: this needs FEEDBACK_TOKEN_FILE.")
    return value


def accepted(declaration: Declaration) -> dict[int | str, str]:
    """Return each accepted name of a class with its label: its `prediction` in responses, and the label."""
    shown: dict[int | str, str] = {class_.prediction: class_.label for class_ in declaration.classes}
    return shown | {label: label for label in declaration.labels}


def to_outcome(prediction: SignedPrediction, declaration: Declaration, reported: object) -> Outcome:
    """Return the outcome to store; ValidationError where the reported one is no class of the model."""
    names = accepted(declaration)
    if len(prediction.probabilities) != len(declaration.classes):
        raise ValidationError("'prediction_id' is that of a version with other classes.")
    # the check of the type keeps true from being read as 1, and lists out of the dictionary
    label = names.get(reported) if type(reported) in (int, float, str) else None  # type: ignore[call-overload]
    if label is None:
        listed = ", ".join(str(name) for name in names)
        raise ValidationError(f"'outcome' must be one of {listed}.")
    return Outcome(
        number=prediction.number,
        model=prediction.model,
        version=prediction.version,
        predicted_at=prediction.second,
        received_at=int(time()),
        predicted=declaration.labels[prediction.class_index],
        outcome=label,
        score=score(prediction.probabilities, prediction.class_index),
        squared_error=squared_error(prediction.probabilities, declaration.labels.index(label)),
        origin=prediction.origin,
    )


def squared_error(probabilities: list[float], true: int) -> float:
    """Return a row's part of the Brier score: of the positive class with two classes, else of all."""
    if len(probabilities) == 2:  # noqa: PLR2004
        return (probabilities[1] - true) ** 2
    return sum((probability - (index == true)) ** 2 for index, probability in enumerate(probabilities))
