"""GET /metrics."""

from typing import Annotated

from fastapi import APIRouter, Header
from prometheus_client import CollectorRegistry
from starlette.responses import Response

from serving.metrics.exposition import exposition


def metrics_router(registry: CollectorRegistry) -> APIRouter:
    router = APIRouter(tags=["metrics"])

    @router.get(
        "/metrics",
        summary="Prometheus metrics, as text or (by Accept) OpenMetrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}, "application/openmetrics-text": {}}}},
    )
    async def metrics(accept: Annotated[str, Header()] = "") -> Response:
        content, content_type = exposition(registry, accept)
        return Response(content, headers={"Content-Type": content_type})

    return router
