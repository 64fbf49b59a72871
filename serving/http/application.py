"""A FastAPI application inside PrometheusMiddleware, for the API and for the port of scrapes."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from prometheus_client import CollectorRegistry
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from bundle.declaration import Declaration
from serving.errors import MethodNotAllowed, NotFound, raise_api_error
from serving.http.allowed import AllowedMethods
from serving.http.compression import with_compression
from serving.http.cors import CrossOrigin, with_preflights
from serving.http.middleware import QUIET_PATHS, DirectEndpoint, PrometheusMiddleware
from serving.http.openapi import declared_routes
from serving.http.public_address import NO_PREFIX, PublicAddress, own_path
from serving.http.refusals import Refusals
from serving.http.routes.metrics import metrics_router
from serving.metrics.connections import ConnectionMetrics
from serving.metrics.http import HttpMetrics
from serving.metrics.vocabulary import Vocabulary
from serving.request import Lifecycle


class Application(FastAPI):
    """A FastAPI application whose middleware surrounds all of it, Starlette's outermost layer included.

    `__call__` is overridden: it calls PrometheusMiddleware, which calls FastAPI's. FastAPI's own pages,
    redirects and telemetry are off. `state.paths` are the paths of its routes, `state.lifecycle` is what a
    drain sets, and `state.refusals` and `state.connections` are what connections answer and count themselves.
    """

    prometheus_middleware: PrometheusMiddleware

    def __init__(self, **options: Any) -> None:
        super().__init__(
            docs_url=None,
            redoc_url=None,
            openapi_url=None,
            redirect_slashes=False,
            telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
            exception_handlers={
                HTTPException: raise_api_error,
                MethodNotAllowed.status: self._reject_method,
                Exception: raise_api_error,
            },
            **options,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.prometheus_middleware(scope, receive, send)

    def add_routers(
        self,
        routers: Sequence[APIRouter],
        vocabulary: Vocabulary,
        declaration: Declaration,
        lifecycle: Lifecycle,
        direct: Mapping[str, DirectEndpoint],
        *,
        address: PublicAddress = NO_PREFIX,
        cors: CrossOrigin | None = None,
    ) -> None:
        """Answer by these routers, and by `direct` past them, all of it measured."""
        for router in routers:
            self.include_router(router)
        metrics = HttpMetrics(vocabulary, declaration, declared_routes(routers))
        self.state.lifecycle = lifecycle
        self.state.paths = {getattr(route, "path", "") for router in routers for route in router.routes}
        self.state.refusals = Refusals(metrics, lifecycle, direct, address.root_path, cors)
        self.state.connections = ConnectionMetrics(vocabulary, declaration)
        self._allowed = AllowedMethods(routers)
        quiet = QUIET_PATHS & self.state.paths
        routed = with_compression(super().__call__)
        if cors:
            routed = with_preflights(routed, cors, self._allowed)
        self.prometheus_middleware = PrometheusMiddleware(
            routed, metrics, lifecycle, direct, quiet=quiet, address=address, cors=cors
        )

    async def _reject_method(self, request: Request, _error: Exception) -> Response:
        allowed = ", ".join(self._allowed.at(own_path(request.scope)))
        raise MethodNotAllowed(f"Use {allowed} here.", headers={"Allow": allowed})


def scrapes_application(
    registry: CollectorRegistry, vocabulary: Vocabulary, declaration: Declaration, lifecycle: Lifecycle
) -> Application:
    """Return what answers on METRICS_PORT: scrapes, and nothing else."""
    app = Application()
    app.add_exception_handler(NotFound.status, reject_other_paths)
    app.add_routers([metrics_router(registry)], vocabulary, declaration, lifecycle, direct={})
    return app


async def reject_other_paths(_request: Request, _error: Exception) -> Response:
    raise NotFound("This port answers GET /metrics alone.")
