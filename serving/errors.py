"""Every error a client can get, as one tree; each becomes an RFC 9457 problem document.

    ApiError
      MalformedBody            400   the body is not JSON
      MalformedRequest         400   what was sent is not HTTP
      Unauthorized             401   the token is missing or wrong
      OtherSite                403   a page of another site sent a form of the console
      NotFound                 404
      MethodNotAllowed         405
      Timeout                  408   the head or the body did not arrive in time
      Conflict                 409   another outcome was reported for this prediction
      AlreadyRunning           409   a model is being retrained
      PayloadTooLarge          413
      UnsupportedMediaType     415
      ValidationError          422   the JSON is not what the model accepts
      Overloaded               429
      HeadTooLarge             431   the request line and the headers are too large
      InternalError            500   a defect, or an injected fault
      ModelNotLoaded           503   the model is unavailable
      StoreUnavailable         503   outcomes cannot be stored
      ClusterUnavailable       503   the cluster did not create the Job
      TokenUnavailable         503   the token cannot be checked
      NotReady                 503   /readyz, while the process should get no traffic

The names of the classes are the values of the label `error_type`.
"""

import json
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, ClassVar
from urllib.parse import quote

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from bundle.errors import FieldError

PROBLEM_JSON = "application/problem+json"


class ApiError(Exception):
    """A failed request: `detail` goes to the client, `cause` to the log, and no value to either."""

    status: ClassVar[HTTPStatus]
    title: ClassVar[str]

    def __init__(
        self,
        detail: str,
        *,
        cause: str | None = None,
        errors: Iterable[FieldError] = (),
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.cause = cause or detail
        self.errors = list(errors)
        self.headers = headers or {}

    @property
    def error_type(self) -> str:
        return type(self).__name__


class MalformedBody(ApiError):  # noqa: N818
    status = HTTPStatus.BAD_REQUEST
    title = "The body is not valid JSON"


class MalformedRequest(ApiError):  # noqa: N818
    status = HTTPStatus.BAD_REQUEST
    title = "What was sent is not an HTTP request"


class Unauthorized(ApiError):  # noqa: N818
    status = HTTPStatus.UNAUTHORIZED
    title = "A valid token is required"


class OtherSite(ApiError):  # noqa: N818
    status = HTTPStatus.FORBIDDEN
    title = "Another site sent this form"


class NotFound(ApiError):  # noqa: N818
    status = HTTPStatus.NOT_FOUND
    title = "Not found"


class MethodNotAllowed(ApiError):  # noqa: N818
    status = HTTPStatus.METHOD_NOT_ALLOWED
    title = "Method not allowed"


class Timeout(ApiError):  # noqa: N818
    status = HTTPStatus.REQUEST_TIMEOUT
    title = "The request did not arrive in time"


class Conflict(ApiError):  # noqa: N818
    status = HTTPStatus.CONFLICT
    title = "Another outcome was reported for this prediction"


class AlreadyRunning(ApiError):  # noqa: N818
    status = HTTPStatus.CONFLICT
    title = "Retraining is already running"


class PayloadTooLarge(ApiError):  # noqa: N818
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    title = "The body is too large"


class UnsupportedMediaType(ApiError):  # noqa: N818
    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    title = "The body must be JSON"


class ValidationError(ApiError):
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    title = "The model does not accept these values"


class Overloaded(ApiError):  # noqa: N818
    status = HTTPStatus.TOO_MANY_REQUESTS
    title = "Too many requests in flight"


class HeadTooLarge(ApiError):  # noqa: N818
    status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    title = "The head of the request is too large"


class InternalError(ApiError):
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    title = "The server failed"


class ModelNotLoaded(ApiError):  # noqa: N818
    status = HTTPStatus.SERVICE_UNAVAILABLE
    title = "The model is unavailable"


class StoreUnavailable(ApiError):  # noqa: N818
    status = HTTPStatus.SERVICE_UNAVAILABLE
    title = "Outcomes cannot be stored"


class ClusterUnavailable(ApiError):  # noqa: N818
    status = HTTPStatus.SERVICE_UNAVAILABLE
    title = "The cluster did not create the Job"


class TokenUnavailable(ApiError):  # noqa: N818
    status = HTTPStatus.SERVICE_UNAVAILABLE
    title = "The token cannot be checked"


class NotReady(ModelNotLoaded):
    title = "The server is not ready for traffic"


PREDICTION_ERRORS: list[type[ApiError]] = [
    MalformedBody,
    Timeout,
    PayloadTooLarge,
    UnsupportedMediaType,
    ValidationError,
    Overloaded,
    InternalError,
    ModelNotLoaded,
]


def problem_response(error: ApiError, path: str, request_id: str) -> Response:
    """Return the response with an error that happened at `path`."""
    content = problem_json(error, path, request_id)
    return Response(content, error.status, headers=error.headers, media_type=PROBLEM_JSON)


def problem_json(error: ApiError, path: str, request_id: str) -> bytes:
    """Return the problem document of an error that happened at `path`."""
    problem: dict[str, Any] = {
        "type": f"urn:problem-type:{error.error_type}",
        "title": error.title,
        "status": int(error.status),
        "detail": error.detail,
        "instance": quote(path),
        "request_id": request_id,
    }
    if error.errors:
        problem["errors"] = [_field_error(fault) for fault in error.errors]
    return json.dumps(problem, separators=(",", ":")).encode()


def _field_error(fault: FieldError) -> dict[str, Any]:
    row = {} if fault.row is None else {"row": fault.row}
    return row | {"field": fault.field, "detail": fault.detail}


async def raise_api_error(_request: Request, error: Exception) -> Response:
    """Raise the router's error for unknown paths as ours, and any other error as it is."""
    if isinstance(error, HTTPException) and error.status_code == HTTPStatus.NOT_FOUND:
        raise NotFound("Nothing is served at this path; GET / lists what is.")
    raise error
