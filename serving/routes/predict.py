"""POST /predict and POST /predict/batch."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse

from bundle.declaration import Declaration
from bundle.encoding import Matrix
from bundle.errors import FieldError, InvalidRowsError
from serving.body import read_json
from serving.catalogue import Answer, TrainedRange
from serving.errors import PREDICTION_ERRORS, Overloaded, ValidationError
from serving.faults import Faults
from serving.middleware import Lifecycle
from serving.schemas import (
    ManyClassBatch,
    ManyClassPrediction,
    TwoClassBatch,
    TwoClassPrediction,
    json_body,
    problems,
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


def prediction_router(prefix: str, model: WatchedModel, admission: Admission) -> APIRouter:
    """Return the routes that answer with one model under a prefix."""
    declaration = model.model.declaration
    row = row_schema(declaration)
    most = admission.settings.max_batch_rows
    batch = {
        "type": "object",
        "properties": {"instances": {"type": "array", "items": row, "minItems": 1, "maxItems": most}},
        "required": ["instances"],
        "additionalProperties": False,
    }
    one, many = _examples(declaration)
    router = APIRouter(prefix=prefix, tags=["predict"], responses=problems(*PREDICTION_ERRORS))

    @router.post(
        "/predict",
        summary=f"Predict one row: {declaration.title}",
        response_model=TwoClassPrediction if declaration.binary else ManyClassPrediction,
        openapi_extra=json_body(row, one),
    )
    async def predict(request: Request) -> JSONResponse:
        record = request.scope["record"]
        matrix = _encode(model, [await admission.body(request)], single=True)
        answer = model.predict(matrix)[0]
        content = _answer(model, answer)
        record.fields |= {
            "model": model.model.name,
            "version": model.model.version,
            "prediction": content["label"],
            "probability": content.get("probability", answer.confidence),
            "warnings": len(answer.warnings),
        }
        warnings = content.pop("warnings")
        return JSONResponse(content | _context(model, record.request_id) | {"warnings": warnings})

    @router.post(
        "/predict/batch",
        summary=f"Predict up to {most} rows, all or none",
        response_model=TwoClassBatch if declaration.binary else ManyClassBatch,
        openapi_extra=json_body(batch, many),
    )
    async def predict_batch(request: Request) -> JSONResponse:
        record = request.scope["record"]
        matrix = _encode(model, _instances(await admission.body(request), most), single=False)
        predictions = [_answer(model, answer) for answer in model.predict(matrix)]
        record.fields |= {
            "model": model.model.name,
            "version": model.model.version,
            "rows": len(predictions),
            "predictions": dict(Counter(prediction["label"] for prediction in predictions)),
        }
        return JSONResponse({"predictions": predictions} | _context(model, record.request_id))

    return router


def _instances(body: Any, most: int) -> list[object]:
    rows = body.get("instances") if isinstance(body, dict) else None
    if not isinstance(rows, list) or len(body) != 1:
        raise ValidationError("A batch is an object with one member, 'instances', that is a list of rows.")
    if not rows:
        raise ValidationError("The batch is empty; 'instances' needs at least one row.")
    if len(rows) > most:
        raise ValidationError(f"The batch has {len(rows)} rows; send {most} at most.")
    return rows


def _encode(model: WatchedModel, rows: list[object], *, single: bool) -> Matrix:
    try:
        return model.model.encode(rows)
    except InvalidRowsError as error:
        faults = [FieldError(e.field, e.detail, None if single else e.row, e.known) for e in error.errors]
        first = faults[0]
        place = "" if first.row is None else f"Row {first.row}: "
        subject = f"'{first.field}'" if first.field else "The row"
        logged = sorted({fault.field if fault.known else "an unknown field" for fault in faults})
        raise ValidationError(
            f"{place}{subject} {first.detail}.", errors=faults, cause=f"invalid: {', '.join(logged)}"
        ) from None


def _answer(model: WatchedModel, answer: Answer) -> dict[str, Any]:
    declaration = model.model.declaration
    predicted = declaration.classes[answer.index]
    probabilities: dict[str, Any] = (
        {"probability": answer.probabilities[1]}
        if declaration.binary
        else {"probabilities": dict(zip(declaration.labels, answer.probabilities, strict=True))}
    )
    return {
        "prediction": predicted.prediction,
        "label": predicted.label,
        **probabilities,
        "confidence": answer.confidence,
        "warnings": [_warning(trained) for trained in answer.warnings],
    }


def _context(model: WatchedModel, request_id: str) -> dict[str, Any]:
    threshold = {} if model.model.threshold is None else {"threshold": model.model.threshold}
    return threshold | {
        "model": {"name": model.model.name, "version": model.model.version},
        "request_id": request_id,
    }


def _warning(trained: TrainedRange) -> dict[str, Any]:
    return {
        "field": trained.field,
        "trained_minimum": trained.minimum,
        "trained_maximum": trained.maximum,
        "unit": trained.unit,
        "detail": f"the model was trained on {trained.minimum:g} to {trained.maximum:g} {trained.unit}",
    }


def _examples(declaration: Declaration) -> tuple[dict[str, Any], dict[str, Any]]:
    row = declaration.example
    spelled = dict(row)
    for feature in declaration.features:
        names = {code: name for name, code in getattr(feature, "codes", {}).items()}
        spelled[feature.name] = names.get(row[feature.name], row[feature.name])
    one = {"codes": {"value": row}, "spelled out": {"value": spelled}}
    return one, {"two rows": {"value": {"instances": [row, spelled]}}}
