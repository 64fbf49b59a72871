"""A response of the API as a page shows it: probabilities on a scale, contributions as bars."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bundle.declaration import Declaration
from bundle.features import CategoryFeature, Feature, Value
from serving.console.fields import label_and_hint

MIDDLE = 50
MOST_DECIMALS = 4
"""Of a percentage: the API's probabilities have six."""

LEFT_EDGE, RIGHT_EDGE = 0.12, 0.88
"""Beyond these positions a label of the scale grows inwards."""


@dataclass(frozen=True)
class Position:
    """A point of the scale from 0 to 1, and how the text at it is anchored."""

    value: float

    @property
    def percent(self) -> str:
        return f"{100 * self.value:.2f}%"

    @property
    def anchor(self) -> str:
        return "start" if self.value < LEFT_EDGE else "end" if self.value > RIGHT_EDGE else "middle"


def percent(share: float, *bounds: float) -> str:
    """Return a share in percent, with the decimals that put it on its side of each bound, 0 and 1."""
    text = ""
    for decimals in range(1, MOST_DECIMALS + 1):
        text = f"{100 * share:.{decimals}f}"
        if all(side(float(text), 100 * bound) == side(share, bound) for bound in (0.0, 1.0, *bounds)):
            break
    return text


def side(value: float, bound: float) -> int:
    return (value > bound) - (value < bound)


@dataclass(frozen=True)
class ClassProbability:
    label: str
    position: Position

    @property
    def written(self) -> str:
        return percent(self.position.value)


@dataclass(frozen=True)
class Bar:
    """What a value adds to the log-odds: a bar from the middle of 0 to 100 to the right if it adds."""

    label: str
    value: str
    contribution: float
    error: float | None
    start: str
    length: str

    @property
    def raises(self) -> bool:
        return self.contribution > 0


@dataclass(frozen=True)
class Result:
    label: str
    probability: Position | None
    """Of the positive class, where there are two."""

    positive: str
    threshold: Position | None
    classes: list[ClassProbability]
    warnings: list[dict[str, Any]]
    version: str
    request_id: str
    prediction_id: str | None
    bars: list[Bar]
    explanation: Mapping[str, Any]

    @property
    def probability_written(self) -> str:
        """The probability in percent, on its side of the threshold."""
        bounds = [self.threshold.value] if self.threshold else []
        return percent(self.probability.value, *bounds) if self.probability else ""

    @property
    def above(self) -> bool:
        """Whether the positive class is predicted."""
        return self.label == self.positive


def result_of(answer: Mapping[str, Any], declaration: Declaration) -> Result:
    """Return what a page shows of the explained response to one row."""
    positive = declaration.labels[1] if declaration.binary else ""
    probability = Position(answer["probability"]) if declaration.binary else None
    classes = [
        ClassProbability(label, Position(share)) for label, share in answer.get("probabilities", {}).items()
    ]
    return Result(
        label=answer["label"],
        probability=probability,
        positive=positive,
        threshold=Position(answer["threshold"]) if "threshold" in answer else None,
        classes=classes,
        warnings=answer["warnings"],
        version=answer["model"]["version"],
        request_id=answer["request_id"],
        prediction_id=answer.get("prediction_id"),
        bars=bars(answer["explanation"]["contributions"], declaration),
        explanation=answer["explanation"],
    )


def bars(contributions: list[dict[str, Any]], declaration: Declaration) -> list[Bar]:
    """Return the contributions, the largest first; the longest bar fills its half."""
    largest = max(abs(member["contribution"]) for member in contributions) or 1
    ranked = sorted(contributions, key=lambda member: -abs(member["contribution"]))
    return [bar(member, largest, declaration) for member in ranked]


def bar(member: Mapping[str, Any], largest: float, declaration: Declaration) -> Bar:
    added = member["contribution"]
    length = MIDDLE * abs(added) / largest
    start = MIDDLE if added > 0 else MIDDLE - length
    feature = declaration.feature(member["feature"])
    return Bar(
        label=label_and_hint(feature)[0],
        value=shown_value(member["value"], member["unit"]),
        contribution=added,
        error=member.get("standard_error"),
        start=f"{start:.2f}%",
        length=f"{length:.2f}%",
    )


def shown_value(value: Value, unit: str | None = None) -> str:
    if value is None:
        return "unknown"
    written = f"{value:.7g}" if isinstance(value, float) else cell_text(value)
    return f"{written} {unit}" if unit else written


def cell_text(value: Value) -> str:
    """Return a value as text; a boolean as JSON has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def spelled_out(row: Mapping[str, Value], declaration: Declaration) -> list[Value]:
    """Return the values of a valid row in declared order, categories by name and missing values as None."""
    return [spelled(feature, row[feature.name]) for feature in declaration.features]


def spelled(feature: Feature, value: Value) -> Value:
    if value in feature.missing_codes:
        return None
    if isinstance(feature, CategoryFeature) and not isinstance(value, str | None):
        return feature.name_of(value) if value in feature.values else value
    return value


def batch_columns(declaration: Declaration, predictions: list[dict[str, Any]]) -> list[str]:
    """Return the columns that predictions add to a table."""
    identified = ["prediction_id"] if any("prediction_id" in row for row in predictions) else []
    probabilities = (
        ["probability"] if declaration.binary else [f"probability {label}" for label in declaration.labels]
    )
    return ["predicted", *probabilities, "warnings", *identified]


def batch_cells(prediction: Mapping[str, Any], columns: list[str]) -> list[object]:
    probabilities = prediction.get("probabilities", {})
    known: dict[str, object] = {
        "predicted": prediction["label"],
        "probability": prediction.get("probability"),
        "warnings": "; ".join(f"{w['field']}: {w['detail']}" for w in prediction["warnings"]),
        "prediction_id": prediction.get("prediction_id", ""),
        **{f"probability {label}": share for label, share in probabilities.items()},
    }
    return [known[column] for column in columns]
