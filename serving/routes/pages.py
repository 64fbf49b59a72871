"""GET /, and the documentation in the browser with assets that come from this server."""

from collections.abc import Sequence
from pathlib import Path

import fastapi_offline
from fastapi import APIRouter
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse, Response

from serving.errors import NotFound
from serving.schemas import Index, ModelReference, problems
from serving.watched import WatchedModel

ASSETS = Path(fastapi_offline.__file__).parent / "static"
ASSET_TYPES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon.png": "image/png",
}


def pages_router(
    title: str, version: str, models: Sequence[WatchedModel], *, with_metrics: bool
) -> APIRouter:
    router = APIRouter(tags=["pages"])
    metrics = {"metrics": "/metrics"} if with_metrics else {}
    index = Index(
        name=title,
        version=version,
        models=[ModelReference(name=watched.model.name, version=watched.model.version) for watched in models],
        links={
            "predict": "/predict",
            "documentation": "/docs",
            "openapi": "/openapi.json",
            "models": "/models",
            "health": "/health",
            **metrics,
        },
    )

    @router.get("/", summary="What is served, and where")
    async def show_index() -> Index:
        return index

    @router.get("/docs", include_in_schema=False)
    async def documentation() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="openapi.json",
            title=title,
            swagger_js_url="docs/swagger-ui-bundle.js",
            swagger_css_url="docs/swagger-ui.css",
            swagger_favicon_url="docs/favicon.png",
        )

    @router.get("/docs/{asset}", include_in_schema=False, responses=problems(NotFound))
    async def documentation_asset(asset: str) -> Response:
        if asset not in ASSET_TYPES:
            raise NotFound("Nothing is served at this path; GET / lists what is.")
        content = (ASSETS / asset).read_bytes()
        return Response(content, media_type=ASSET_TYPES[asset], headers={"Cache-Control": "max-age=86400"})

    return router
