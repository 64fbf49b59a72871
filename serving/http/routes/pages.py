"""GET /, and the documentation in the browser with assets that come from this server."""

from collections.abc import Callable, Sequence
from functools import cache
from html import escape
from pathlib import Path

import fastapi_offline
from fastapi import APIRouter, Request
from starlette.responses import Response

from serving.errors import NotFound
from serving.http.accept import prefers_page
from serving.http.public_address import public_prefix
from serving.http.schemas import Index, ModelReference, problems
from serving.http.security_headers import Page
from serving.inference.monitored_model import MonitoredModel

STATIC = Path(fastapi_offline.__file__).parent / "static"
ASSET_TYPES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon.png": "image/png",
    "start.js": "text/javascript",
}
START = b"""\
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIBundle.SwaggerUIStandalonePreset],
  layout: "BaseLayout",
  deepLinking: true,
  showExtensions: true,
  showCommonExtensions: true,
});
"""
DOCUMENTATION = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="icon" href="docs/favicon.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
"""
NEEDS = ("script-src 'self'", "style-src 'self'", "img-src 'self' data:", "connect-src 'self'")
"""The documentation's own files and requests; Swagger UI's pictures stand in its style sheet."""


@cache
def asset_content(name: str) -> bytes:
    """Return a file's content, which all answers share."""
    return START if name == "start.js" else (STATIC / name).read_bytes()


def pages_router(
    title: str,
    version: str,
    models: Sequence[MonitoredModel],
    *,
    with_metrics: bool,
    for_browsers: Callable[[Request], Response] | None = None,
) -> APIRouter:
    """Return the index and the documentation; a browser gets the index `for_browsers`, where there is one."""
    router = APIRouter(tags=["pages"])
    metrics = {"metrics": "/metrics"} if with_metrics else {}
    index = Index(
        name=title,
        version=version,
        models=[
            ModelReference(name=monitored.model.name, version=monitored.model.version) for monitored in models
        ],
        links={
            "predict": "/predict",
            "documentation": "/docs",
            "openapi": "/openapi.json",
            "models": "/models",
            "health": "/health",
            "runbooks": "/runbooks",
            **metrics,
        },
    )

    @router.get("/", summary="What is served, and where", response_model=Index)
    async def show_index(request: Request, response: Response) -> Index | Response:
        if for_browsers and prefers_page(request.scope["record"].headers, over="application/json"):
            page = for_browsers(request)
            page.headers["Vary"] = "Accept"
            return page
        response.headers["Vary"] = "Accept"
        prefix = public_prefix(request.scope)
        return index.model_copy(update={"links": {name: prefix + path for name, path in index.links.items()}})

    @router.get("/docs", include_in_schema=False)
    async def documentation() -> Page:
        return Page(DOCUMENTATION.format(title=escape(title)), *NEEDS)

    @router.get("/docs/{asset}", include_in_schema=False, responses=problems(NotFound))
    async def documentation_asset(asset: str) -> Response:
        if asset not in ASSET_TYPES:
            raise NotFound("Nothing is served at this path; GET / lists what is.")
        return Response(
            asset_content(asset), media_type=ASSET_TYPES[asset], headers={"Cache-Control": "max-age=86400"}
        )

    return router
