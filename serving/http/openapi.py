"""What the routes declare: as /openapi.json for clients, and as the answers that metrics may expect."""

from collections.abc import Iterable
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from serving.errors import MethodNotAllowed, NotFound
from serving.http.middleware import QUIET_PATHS
from serving.http.public_address import public_prefix
from serving.http.schemas import Problem
from serving.metrics.http import UNMATCHED, DeclaredRoute


def openapi_router(app: FastAPI) -> APIRouter:
    """Return /openapi.json, with the components that problem documents refer to."""
    router = APIRouter()

    @router.get("/openapi.json", include_in_schema=False)
    async def document(request: Request) -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = openapi_document(app)
        prefix = public_prefix(request.scope)
        return app.openapi_schema | ({"servers": [{"url": prefix}]} if prefix else {})

    return router


def openapi_document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    schemas = document["components"]["schemas"]
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= problem.pop("$defs") | {"Problem": problem}
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    for path in document["paths"].values():
        for operation in path.values():
            responses = operation["responses"]
            if "/HTTPValidationError" in str(responses.get("422")):
                del responses["422"]
    return document


def declared_routes(routers: Iterable[APIRouter]) -> Iterable[DeclaredRoute]:
    """Return what OpenAPI is told about each route as what metrics may expect of it."""
    misses = (NotFound, MethodNotAllowed)
    yield DeclaredRoute(
        *UNMATCHED, tuple(int(e.status) for e in misses), tuple(e.__name__ for e in misses), timed=False
    )
    for router in routers:
        for route in router.routes:
            if isinstance(route, APIRoute):
                types = [str(r["x-error-type"]) for r in route.responses.values() if "x-error-type" in r]
                quiet = route.path in QUIET_PATHS
                timed = route.include_in_schema and not quiet
                statuses = tuple(sorted({200, *(int(status) for status in route.responses)}))
                for method in sorted(route.methods or ()):
                    yield DeclaredRoute(method, route.path, statuses, () if quiet else tuple(types), timed)
