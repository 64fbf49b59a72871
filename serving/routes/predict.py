"""POST /predict and POST /predict/batch."""

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse

from bundle.encoding import Matrix
from bundle.errors import InvalidRowsError
from serving.body import read_json
from serving.catalogue import Answer, ServedModel, TrainedRange
from serving.errors import PREDICTION_ERRORS, Overloaded, ValidationError
from serving.faults import Faults
from serving.middleware import Lifecycle, RequestRecord
from serving.schemas import (
    ManyClassBatch,
    ManyClassPrediction,
    TwoClassBatch,
    TwoClassPrediction,
    batch_schema,
    examples,
    json_body,
    problems,
    row_or_list_schema,
    row_schema,
)
from serving.settings import Settings
from serving.watched import WatchedModel


@dataclass(frozen=True)
class Admission:
    """What a request must pass before its values are looked at."""

    settings: Settings
    lifecycle: Lifecycle
    faults: Faults | None

    async def body(self, request: Request) -> Any:
        """Return the request's JSON value, or raise what refuses it."""
        if self.lifecycle.active > self.settings.max_active_requests:
            raise Overloaded(
                "The server has too many requests to answer; try again.", headers={"Retry-After": "1"}
            )
        body = await read_json(request, self.settings.max_body_bytes, self.settings.body_timeout_seconds)
        if self.faults:
            await self.faults.inject(request.scope["record"])
        return body


def prediction_router(prefix: str, watched: WatchedModel, admission: Admission) -> APIRouter:
    """Return the routes that answer with one model under a prefix."""
    model = watched.model
    most = admission.settings.max_batch_rows
    one, two = examples(model.declaration)
    binary = model.declaration.binary
    lists = model.declaration.routes.lists
    answered: Any = TwoClassPrediction if binary else ManyClassPrediction
    router = APIRouter(prefix=prefix, tags=["predict"], responses=problems(*PREDICTION_ERRORS))

    @router.post(
        "/predict",
        summary=f"Predict one row with {model.name} {model.version}"
        + (", or each of a list" if lists else ""),
        response_model=answered | list[answered] if lists else answered,
        openapi_extra=json_body(
            row_or_list_schema(model.declaration, most) if lists else row_schema(model.declaration), one
        ),
    )
    async def predict(request: Request) -> JSONResponse:
        record: RequestRecord = request.scope["record"]
        with watched.request(record):
            body = await admission.body(request)
            if lists and isinstance(body, list):
                answers = watched.predict(encode(model, limited(body, most), numbered=True))
                record.fields |= summary(model, answers)
                return JSONResponse([whole_answer(model, answer, record.request_id) for answer in answers])
            answer = watched.predict(encode(model, [body], numbered=False))[0]
            content = whole_answer(model, answer, record.request_id)
            record.fields |= origin(model) | {
                "prediction": content["label"],
                "probability": content.get("probability", answer.confidence),
                "warnings": len(answer.warnings),
            }
            return JSONResponse(content)

    @router.post(
        "/predict/batch",
        summary=f"Predict up to {most} rows with {model.name} {model.version}, all or none",
        response_model=TwoClassBatch if binary else ManyClassBatch,
        openapi_extra=json_body(batch_schema(model.declaration, most), two),
    )
    async def predict_batch(request: Request) -> JSONResponse:
        record: RequestRecord = request.scope["record"]
        with watched.request(record):
            rows = instances(await admission.body(request), most)
            answers = watched.predict(encode(model, rows, numbered=True))
            record.fields |= summary(model, answers)
            predictions = [answer_content(model, answer) for answer in answers]
            return JSONResponse({"predictions": predictions} | context(model, record.request_id))

    return router


def instances(body: Any, most: int) -> list[object]:
    """Return the rows of a batch; ValidationError where it has none, or more than `most`."""
    rows = body.get("instances") if isinstance(body, dict) else None
    if not isinstance(rows, list) or len(body) != 1:
        raise ValidationError("A batch is an object with one member, 'instances', that is a list of rows.")
    return limited(rows, most)


def limited(rows: list[object], most: int) -> list[object]:
    if not rows:
        raise ValidationError("There are no rows; send at least one.")
    if len(rows) > most:
        raise ValidationError(f"There are {len(rows)} rows; send {most} at most.")
    return rows


def encode(model: ServedModel, rows: list[object], *, numbered: bool) -> Matrix:
    """Return float32 [rows, features]; ValidationError names each fault, by row where rows are numbered."""
    try:
        return model.encode(rows)
    except InvalidRowsError as error:
        faults = error.errors if numbered else [replace(fault, row=None) for fault in error.errors]
        first = faults[0]
        place = "" if first.row is None else f"Row {first.row}: "
        subject = f"'{first.field}'" if first.field else "The row"
        logged = sorted({fault.field if fault.known else "an unknown field" for fault in faults})
        raise ValidationError(
            f"{place}{subject} {first.detail}.", errors=faults, cause=f"invalid: {', '.join(logged)}"
        ) from None


def answer_content(model: ServedModel, answer: Answer) -> dict[str, Any]:
    """Return what is said about one row."""
    predicted = model.declaration.classes[answer.index]
    probabilities: dict[str, Any] = (
        {"probability": answer.probabilities[1]}
        if model.declaration.binary
        else {"probabilities": dict(zip(model.declaration.labels, answer.probabilities, strict=True))}
    )
    return {
        "prediction": predicted.prediction,
        "label": predicted.label,
        **probabilities,
        "confidence": answer.confidence,
        "warnings": [range_warning(trained) for trained in answer.warnings],
    }


def whole_answer(model: ServedModel, answer: Answer, request_id: str) -> dict[str, Any]:
    """Return what is said about one row that has an answer to itself."""
    content = answer_content(model, answer)
    warnings = {"warnings": content.pop("warnings")}
    return content | context(model, request_id) | warnings


def context(model: ServedModel, request_id: str) -> dict[str, Any]:
    """Return what is said once in an answer: the threshold, and who spoke to whom."""
    threshold = {} if model.threshold is None else {"threshold": model.threshold}
    return threshold | {"model": {"name": model.name, "version": model.version}, "request_id": request_id}


def summary(model: ServedModel, answers: list[Answer]) -> dict[str, Any]:
    """Return what the log says about several rows."""
    labels = Counter(model.declaration.labels[answer.index] for answer in answers)
    return origin(model) | {"rows": len(answers), "predictions": dict(labels)}


def origin(model: ServedModel) -> dict[str, Any]:
    return {"model": model.name, "version": model.version}


def range_warning(trained: TrainedRange) -> dict[str, Any]:
    return {
        "field": trained.field,
        "trained_minimum": trained.minimum,
        "trained_maximum": trained.maximum,
        "unit": trained.unit,
        "detail": f"the model was trained on {trained.minimum:g} to {trained.maximum:g} {trained.unit}",
    }
