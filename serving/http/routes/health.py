"""GET /health for people, and one probe each for startup, liveness and readiness."""

from collections.abc import Sequence

from fastapi import APIRouter
from starlette.responses import JSONResponse

from serving.errors import NotReady
from serving.http.schemas import ProbeAnswer, health_schema, problems
from serving.inference.monitored_model import RECOVERY, MonitoredModel
from serving.request import Lifecycle


def health_router(models: Sequence[MonitoredModel]) -> APIRouter:
    router = APIRouter(tags=["health"])
    main = models[0].model
    schema = health_schema(main.health)

    @router.get(
        "/health",
        summary="Whether every model is available",
        response_model=schema,
        responses={503: {"model": schema, "description": "A model is unavailable"}},
    )
    async def health() -> JSONResponse:
        available = all(model.available for model in models)
        content = {
            "status": "healthy" if available else "unhealthy",
            "model_loaded": available,
            **main.health,
            "model": {"name": main.name, "version": main.version},
        }
        return JSONResponse(content, 200 if available else 503)

    return router


def probes_router(models: Sequence[MonitoredModel], lifecycle: Lifecycle) -> APIRouter:
    router = APIRouter(tags=["health"])

    @router.get("/startupz", summary="Has the process started? Its models are verified before it answers")
    async def startup() -> ProbeAnswer:
        return ProbeAnswer(status="started")

    @router.get("/livez", summary="Is the process alive? If not, restart it")
    async def live() -> ProbeAnswer:
        return ProbeAnswer(status="alive")

    @router.get("/readyz", summary="Should it get traffic?", responses=problems(NotReady))
    async def ready() -> ProbeAnswer:
        if lifecycle.draining:
            raise NotReady("The server is shutting down.")
        unavailable = [model.model.name for model in models if not model.available]
        if unavailable:
            raise NotReady(f"The model {unavailable[0]} is unavailable; {RECOVERY}.")
        return ProbeAnswer(status="ready")

    return router
