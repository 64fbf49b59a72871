"""From a model's declaration to what OpenAPI says about requests, answers and errors."""

from collections.abc import Iterable
from functools import cache
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, create_model

from bundle.declaration import Declaration
from bundle.evaluation import Evaluation
from bundle.features import CategoryFeature, Feature
from serving.errors import PROBLEM_JSON, ApiError

Schema = dict[str, Any]
Responses = dict[int | str, dict[str, Any]]


class Documented(BaseModel):
    model_config = ConfigDict(extra="forbid", protected_namespaces=())


class ModelReference(Documented):
    name: str = Field(description="Folder of the model")
    version: str


class RangeWarning(Documented):
    """A valid value outside the range of the training data."""

    field: str
    trained_minimum: float
    trained_maximum: float
    unit: str
    detail: str


class UnlistedWarning(Documented):
    """A value of a category that the model does not know, and that it takes as any other."""

    field: str
    detail: str


class Answer(Documented):
    prediction: int | str = Field(description="The predicted class, as the system's page shows it")
    label: str = Field(description="Name of the predicted class")
    confidence: float = Field(ge=0, le=1, description="Probability of the predicted class")
    prediction_id: str | None = Field(
        default=None,
        description="Names the prediction in POST /feedback; missing if feedback is off or no key signs",
    )
    warnings: list[RangeWarning]


class TwoClassAnswer(Answer):
    probability: float = Field(ge=0, le=1, description="Probability of the positive class")


class ManyClassAnswer(Answer):
    probabilities: dict[str, float] = Field(description="Probability of each class by name")


class Answered(Documented):
    model: ModelReference
    request_id: str


class Thresholded(Answered):
    threshold: float = Field(description="Least probability at which the positive class is predicted")


class Contribution(Documented):
    feature: str
    value: int | float | str | None = Field(description="As the model read it; null where it is missing")
    unit: str | None
    contribution: float = Field(description="What the value adds to the log-odds, compared with the baseline")
    standard_error: float | None = Field(
        default=None, description="Sampling error, where contributions are sampled"
    )


class ExtendedContribution(Contribution):
    value: bool | int | float | str | None = Field(description="As the model read it; null where missing")


class ExplanationAnswer(Documented):
    """What the model made of each value: `baseline` and the contributions add up to `log_odds`."""

    of: str = Field(description="The class whose log-odds these are")
    against: str
    method: str
    log_odds: float
    baseline: float = Field(description="Log-odds of the baseline")
    contributions: list[Contribution]
    sentence: str


class ExtendedExplanation(ExplanationAnswer):
    contributions: list[ExtendedContribution]  # type: ignore[assignment]


class Explained(Documented):
    explanation: ExplanationAnswer | None = Field(default=None, description="Present with ?explain=true")


class TwoClassPrediction(TwoClassAnswer, Thresholded, Explained):
    pass


class ManyClassPrediction(ManyClassAnswer, Answered, Explained):
    pass


class TwoClassBatch(Thresholded):
    predictions: list[TwoClassAnswer] = Field(description="One answer for each row, in order")


class ManyClassBatch(Answered):
    predictions: list[ManyClassAnswer] = Field(description="One answer for each row, in order")


def prediction_shape(declaration: Declaration) -> type[Answered]:
    """Return the shape of the response to one row."""
    plain = TwoClassPrediction if declaration.binary else ManyClassPrediction
    return _extended(plain) if declaration.extended else plain


def batch_shape(declaration: Declaration) -> type[Answered]:
    """Return the shape of the response to a batch."""
    plain, answer = (
        (TwoClassBatch, TwoClassAnswer) if declaration.binary else (ManyClassBatch, ManyClassAnswer)
    )
    return _extended_batch(plain, answer) if declaration.extended else plain


@cache
def _extended(plain: type[Documented]) -> Any:
    """Return a shape whose warnings may be about a value that is not listed, and whose values booleans."""
    members: dict[str, Any] = {"warnings": (list[RangeWarning | UnlistedWarning], ...)}
    if issubclass(plain, Explained):
        described = Field(default=None, description="Present with ?explain=true")
        members["explanation"] = (ExtendedExplanation | None, described)
    return create_model(f"Extended{plain.__name__}", __base__=plain, **members)


@cache
def _extended_batch(plain: type[Documented], answer: type[Documented]) -> Any:
    listed: Any = list[_extended(answer)]  # type: ignore[misc]
    described = Field(description="One answer for each row, in order")
    return create_model(f"Extended{plain.__name__}", __base__=plain, predictions=(listed, described))


class FeatureDescription(Documented):
    name: str
    description: str
    type: str = Field(description="number, integer or category")
    unit: str | None
    minimum: float | None = Field(description="Lowest value accepted; null without a declared range")
    maximum: float | None = Field(description="Highest value accepted; null without a declared range")
    codes: dict[str, int] | None = Field(description="Code of each category; clients send either")
    nullable: bool
    missing_codes: list[int] = Field(description="Codes that mean a missing value, as null does")
    trained_minimum: float | None
    trained_maximum: float | None


class ModelDescription(Documented):
    """A model's declaration, its evaluation, and its data."""

    name: str
    version: str
    title: str
    description: str
    limits: str
    estimator: str
    classes: list[str]
    threshold: float | None
    features: list[FeatureDescription]
    example: dict[str, int | float | str | None]
    evaluation: Evaluation
    data_source: str
    data_sha256: str
    bundle_sha256: str = Field(
        description="sha256 of bundle.json, which contains the sha256 of every other file"
    )


class ExtendedFeatureDescription(FeatureDescription):
    type: str = Field(description="number, integer, category or boolean")
    other: bool = Field(description="Whether values of a category that are not among the codes are accepted")


class ExtendedModelDescription(ModelDescription):
    """A model's declaration, its evaluation, and its data, where a value is a boolean or not listed."""

    features: list[ExtendedFeatureDescription]  # type: ignore[assignment]
    example: dict[str, bool | int | float | str | None]


class ExtendedModels(Documented):
    models: list[ExtendedModelDescription]


class FeedbackAnswer(Documented):
    status: str = Field(description="accepted, corrected, or known if the same outcome was reported before")


class Models(Documented):
    models: list[ModelDescription]


class Health(Documented):
    status: str = Field(description="healthy or unhealthy")
    model_loaded: bool
    model: ModelReference


class ProbeAnswer(Documented):
    status: str


class Index(Documented):
    name: str
    version: str
    models: list[ModelReference]
    links: dict[str, str]


class ProblemError(Documented):
    field: str
    detail: str
    row: int | None = Field(default=None, description="Number of the row in a batch, from 0")


class Problem(Documented):
    """An RFC 9457 problem document."""

    type: str = Field(description="urn:problem-type: and the error type, as in metrics and logs")
    title: str
    status: int
    detail: str
    instance: str
    request_id: str
    errors: list[ProblemError] | None = Field(default=None, description="At most 20 invalid values")


def health_schema(metrics: Iterable[str]) -> type[Health]:
    """Return the shape of /health with the metrics that the model declares for it."""
    fields: Any = {metric: (float, Field(description="From the evaluation")) for metric in metrics}
    return create_model("Health", __base__=Health, **fields) if fields else Health


def problems(*errors: type[ApiError]) -> Responses:
    """Return OpenAPI's responses for these errors; the metrics start the series of the same statuses at 0."""
    return {
        int(error.status): {
            "description": error.title,
            "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}},
            "x-error-type": error.__name__,
        }
        for error in errors
    }


def row_schema(declaration: Declaration) -> Schema:
    """Return the JSON schema of one row."""
    return {
        "type": "object",
        "title": f"Row of {declaration.name}",
        "properties": {feature.name: feature_schema(feature) for feature in declaration.features},
        "required": declaration.feature_names,
        "additionalProperties": False,
        "example": declaration.example,
    }


def feature_schema(feature: Feature) -> Schema:
    """Return the JSON schema of one value, which accepts exactly what the encoder does."""
    return {"description": f"{feature.description}: {feature.expectation}", **feature.json_kind}


def rows_schema(declaration: Declaration, most: int) -> Schema:
    return {"type": "array", "items": row_schema(declaration), "minItems": 1, "maxItems": most}


def row_or_list_schema(declaration: Declaration, most: int) -> Schema:
    """Return the JSON schema of one row, or of a list of at most `most`."""
    return {"anyOf": [row_schema(declaration), rows_schema(declaration, most)]}


def batch_schema(declaration: Declaration, most: int) -> Schema:
    """Return the JSON schema of a batch of at most `most` rows."""
    return {
        "type": "object",
        "properties": {"instances": rows_schema(declaration, most)},
        "required": ["instances"],
        "additionalProperties": False,
    }


def feedback_schema(outcomes: Iterable[int | str]) -> Schema:
    """Return the JSON schema of a reported outcome."""
    return {
        "type": "object",
        "properties": {
            "prediction_id": {"type": "string", "description": "prediction_id of the answer"},
            "outcome": {"enum": list(outcomes), "description": "The true class"},
            "correction": {
                "type": "boolean",
                "default": False,
                "description": "Whether it replaces an outcome reported before; needs a token",
            },
        },
        "required": ["prediction_id", "outcome"],
        "additionalProperties": False,
    }


def examples(declaration: Declaration) -> tuple[Schema, Schema]:
    """Return OpenAPI's examples of a row, in codes and spelled out, and of a batch of both."""
    row, spelled = declaration.example, dict(declaration.example)
    for feature in declaration.features:
        if isinstance(feature, CategoryFeature):
            spelled[feature.name] = feature.spelled_out(row[feature.name])
    single = {"codes": {"value": row}, "spelled out": {"value": spelled}}
    return single, {"two rows": {"value": {"instances": [row, spelled]}}}


EXPLAIN_PARAMETER = {
    "name": "explain",
    "in": "query",
    "description": "Whether to explain the answer by the contribution of each feature; single rows only",
    "schema": {"type": "boolean", "default": False},
}


def key_parameter(header: str) -> Schema:
    """Return the header whose value decides which of two versions answers."""
    return {
        "name": header,
        "in": "header",
        "schema": {"type": "string"},
        "description": "A pseudonym of the client or case: one value always gets the same version",
    }


def json_body(schema: Schema, examples: Schema) -> Schema:
    """Return OpenAPI's description of a request with a JSON body."""
    content = {"application/json": {"schema": schema, "examples": examples}}
    return {"requestBody": {"required": True, "content": content}}
