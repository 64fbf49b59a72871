"""POST /predict and POST /predict/batch."""

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping
from time import perf_counter
from typing import Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Request, Response
from starlette.types import Receive

from bundle.encoding import Matrix
from bundle.errors import FieldError, InvalidRowsError
from serving.errors import PREDICTION_ERRORS, ValidationError
from serving.http.admission import Admission
from serving.http.middleware import check_query
from serving.http.response_writer import ResponseWriter
from serving.http.schemas import (
    EXPLAIN_PARAMETER,
    batch_schema,
    batch_shape,
    examples,
    json_body,
    key_parameter,
    prediction_shape,
    problems,
    row_or_list_schema,
    row_schema,
)
from serving.inference.catalogue import Prediction, ServedModel
from serving.inference.explanations import explanation_json
from serving.inference.monitored_model import MonitoredModel
from serving.logs import describe_exception
from serving.request import ClientGone, RequestRecord
from serving.rollout.canary import Rollout

EXPLAIN = {"true": True, "1": True, "false": False, "0": False}


class PredictionEndpoint(ABC):
    """Answers POST requests on one path with one version of a model."""

    def __init__(
        self,
        path: str,
        monitored: MonitoredModel,
        admission: Admission,
        writers: Mapping[str, ResponseWriter],
        rollout: Rollout | None = None,
    ) -> None:
        self.path = path
        self.route = ("POST", path)
        self.monitored = monitored
        self.model = monitored.model
        self.admission = admission
        self.most = admission.limits.batch_rows
        self.writers = writers
        self.rollout = rollout
        self.shadow = rollout.shadow if rollout else None

    async def respond(self, record: RequestRecord, receive: Receive) -> bytes:
        """Return the response as JSON; ApiError where it fails."""
        rollout = self.rollout
        monitored = rollout.choose(record) if rollout else self.monitored
        monitored.count_request()
        try:
            body = await self.admission.body(record, receive)
            if rollout:
                content = self.answer_counted(body, record, monitored, rollout)
            else:
                content = self.answer(body, record, monitored)
        except ClientGone:
            raise
        except Exception:
            monitored.count_failure()
            raise
        if record.error_type:
            monitored.count_simulated_error()
        return content.encode()

    def count_shed(self) -> None:
        self.monitored.count_request()
        self.monitored.count_failure()

    def answer_counted(
        self, body: Any, record: RequestRecord, monitored: MonitoredModel, rollout: Rollout
    ) -> str:
        """Return the response of one of two versions; the served version's where the candidate fails."""
        counts = rollout.counts[monitored.model.version]
        start = perf_counter()
        try:
            content = self.answer(body, record, monitored)
        except ValidationError:
            counts.count_rejected(1)
            raise
        except Exception as error:
            counts.count_error(1)
            if monitored is self.monitored:
                raise
            monitored.count_failure()
            self.monitored.count_request()
            record.log.clear()
            record.log.add(candidate_failed=describe_exception(error))
            return self.answer_counted(body, record, self.monitored, rollout)
        counts.count_success(1)
        counts.observe_duration(perf_counter() - start)
        return content

    @abstractmethod
    def answer(self, body: Any, record: RequestRecord, monitored: MonitoredModel) -> str:
        """Return a version's response to a body, and add its log fields to the record."""

    def predict(self, monitored: MonitoredModel, rows: list[object]) -> list[Prediction]:
        """Return a version's prediction for each row, and mirror the served version's rows."""
        matrix = encode(monitored, rows)
        predictions = monitored.predict(matrix)
        if self.shadow and monitored is self.monitored:
            self.shadow.mirror_rows(matrix, predictions)
        return predictions


class RowEndpoint(PredictionEndpoint):
    """One row; or, where the model declares it, a list of them."""

    def answer(self, body: Any, record: RequestRecord, monitored: MonitoredModel) -> str:
        declaration, writer = self.model.declaration, self.writers[monitored.model.version]
        explain = bool(record.query) and wants_explanation(record.query)
        if declaration.routes.lists and isinstance(body, list):
            reject_explanation(explain)
            predictions = self.predict(monitored, limited(body, self.most))
            record.log.add_serialised(writer.batch_log_members(predictions))
            return writer.rows(predictions, record.request_id)
        values = encode_row(monitored, body)
        prediction = monitored.predict_row(values)
        if self.shadow and monitored is self.monitored:
            self.shadow.mirror_row(values, prediction)
        record.log.add_serialised(writer.log_members(prediction))
        if not explain:
            return writer.row(prediction, record.request_id)
        explanation = explanation_json(monitored.explain(values, prediction), declaration, values)
        return writer.explained_row(prediction, record.request_id, explanation)


class BatchEndpoint(PredictionEndpoint):
    def answer(self, body: Any, record: RequestRecord, monitored: MonitoredModel) -> str:
        reject_explanation(bool(record.query) and wants_explanation(record.query))
        writer = self.writers[monitored.model.version]
        predictions = self.predict(monitored, instances(body, self.most))
        record.log.add_serialised(writer.batch_log_members(predictions))
        return writer.batch(predictions, record.request_id)


def model_endpoints(
    prefix: str,
    monitored: MonitoredModel,
    admission: Admission,
    writers: Mapping[str, ResponseWriter],
    rollout: Rollout | None,
) -> list[PredictionEndpoint]:
    """Return the endpoints of one model under a prefix; each version has a writer."""
    return [
        RowEndpoint(f"{prefix}/predict", monitored, admission, writers, rollout),
        BatchEndpoint(f"{prefix}/predict/batch", monitored, admission, writers, rollout),
    ]


def prediction_router(endpoints: Iterable[PredictionEndpoint]) -> APIRouter:
    """Return the routes that document predictions in OpenAPI.

    No request reaches them: PrometheusMiddleware calls `PredictionEndpoint.respond` itself, past routers
    and layers, in a fifth of the time (docs/decisions/17-bypass.md).
    """
    router = APIRouter(tags=["predict"], responses=problems(*PREDICTION_ERRORS))
    for endpoint in endpoints:
        documented = row_document if isinstance(endpoint, RowEndpoint) else batch_document
        document = documented(endpoint.model, endpoint.most)
        if endpoint.rollout:
            extra = document["openapi_extra"]
            extra["parameters"] = [*extra.get("parameters", []), key_parameter(endpoint.rollout.header)]
        router.add_api_route(endpoint.path, handler(endpoint), methods=["POST"], **document)
    return router


def handler(endpoint: PredictionEndpoint) -> Callable[[Request], Awaitable[Response]]:
    async def predict(request: Request) -> Response:
        content = await endpoint.respond(request.scope["record"], request.receive)
        return Response(content, media_type="application/json")

    return predict


def row_document(model: ServedModel, most: int) -> dict[str, Any]:
    """Return what OpenAPI says about predictions of a row."""
    declaration = model.declaration
    row, _ = examples(declaration)
    summary = f"Predict one row with {model.name} {model.version}"
    prediction: Any = prediction_shape(declaration)
    if not declaration.routes.lists:
        body = json_body(row_schema(declaration), row) | {"parameters": [EXPLAIN_PARAMETER]}
        return {"summary": summary, "response_model": prediction, "openapi_extra": body}
    return {
        "summary": f"{summary}, or each of a list",
        "description": "A single row's answer says with `?explain=true` what each feature contributed.",
        "response_model": prediction | list[prediction],
        "openapi_extra": json_body(row_or_list_schema(declaration, most), row),
    }


def batch_document(model: ServedModel, most: int) -> dict[str, Any]:
    """Return what OpenAPI says about predictions of a batch."""
    _, batch = examples(model.declaration)
    return {
        "summary": f"Predict up to {most} rows with {model.name} {model.version}, all or none",
        "response_model": batch_shape(model.declaration),
        "openapi_extra": json_body(batch_schema(model.declaration, most), batch),
    }


def wants_explanation(query: bytes) -> bool:
    """Return the value of `explain`, by default False; ValidationError where it is not a boolean."""
    check_query(query)
    value = parse_qs(query.decode("latin-1"), keep_blank_values=True).get("explain", ["false"])[-1].lower()
    if value not in EXPLAIN:
        raise ValidationError("'explain' must be true or false.")
    return EXPLAIN[value]


def reject_explanation(explain: bool) -> None:
    if explain:
        raise ValidationError("Explanations are given for one row at a time: send it alone to /predict.")


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


def encode(monitored: MonitoredModel, rows: list[object]) -> Matrix:
    """Return float32 [rows, features]; ValidationError names each error by its row."""
    try:
        return monitored.model.encode(rows)
    except InvalidRowsError as error:
        monitored.count_rejected(error.errors)
        raise invalid_rows(error.errors) from None


def encode_row(monitored: MonitoredModel, row: object) -> list[float]:
    """Return the values of one row; ValidationError names each error."""
    try:
        return monitored.model.encode_row(row)
    except InvalidRowsError as error:
        monitored.count_rejected(error.errors)
        raise invalid_rows(error.errors) from None


def invalid_rows(faults: list[FieldError]) -> ValidationError:
    first = faults[0]
    row = "" if first.row is None else f"Row {first.row}: "
    subject = f"'{first.field}'" if first.field else "The row"
    logged = sorted({fault.field if fault.known else "an unknown field" for fault in faults})
    return ValidationError(
        f"{row}{subject} {first.detail}.", errors=faults, cause=f"invalid: {', '.join(logged)}"
    )
