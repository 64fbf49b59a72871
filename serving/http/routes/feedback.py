"""POST /feedback: the true label of a prediction."""

from typing import Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import JSONResponse

from serving.errors import PREDICTION_ERRORS, Conflict, ModelNotLoaded, StoreUnavailable, Unauthorized
from serving.feedback.outcomes import Verdict
from serving.feedback.service import FeedbackService
from serving.http.admission import Admission
from serving.http.schemas import FeedbackAnswer, feedback_schema, json_body, problems

ERRORS = [error for error in PREDICTION_ERRORS if error is not ModelNotLoaded]
ACCEPTED, OK = 202, 200


def feedback_router(feedback: FeedbackService, admission: Admission) -> APIRouter:
    token = feedback.token
    router = APIRouter(tags=["feedback"], dependencies=[Depends(token)] if token else [])
    errors = [*ERRORS, *([Unauthorized] if token else []), Conflict, StoreUnavailable]
    example: Any = {"an outcome": {"value": {"prediction_id": "...", "outcome": feedback.example}}}

    @router.post(
        "/feedback",
        summary="Report the true label of a prediction",
        status_code=ACCEPTED,
        responses={
            ACCEPTED: {
                "model": FeedbackAnswer,
                "description": "The outcome is new or corrected, and on disk",
            },
            OK: {"model": FeedbackAnswer, "description": "The outcome was known, and counts once"},
            **problems(*errors),
        },
        openapi_extra=json_body(feedback_schema(feedback.outcomes), example),
    )
    async def tell(request: Request) -> JSONResponse:
        record = request.scope["record"]
        verdict = await feedback.accept(await admission.body(record, request.receive))
        record.log.add(feedback=verdict.value)
        status = "accepted" if verdict is Verdict.NEW else verdict.value
        return JSONResponse({"status": status}, OK if verdict is Verdict.KNOWN else ACCEPTED)

    return router
