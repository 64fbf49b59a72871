"""The composition root: the only place where the parts are wired together."""

import asyncio
import logging
import tomllib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import chain
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from prometheus_client import CollectorRegistry, ProcessCollector
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from bundle.declaration import Declaration
from bundle.errors import BundleError
from serving.errors import NotFound, raise_api_error
from serving.feedback.service import KEYS_SECONDS, Feedback
from serving.http.middleware import QUIET_PATHS, PrometheusMiddleware
from serving.http.openapi import declared_routes, openapi_router
from serving.http.response_writer import AnswerWriter
from serving.http.routes.feedback import feedback_router
from serving.http.routes.health import health_router, probes_router
from serving.http.routes.metrics import metrics_router
from serving.http.routes.models import models_router
from serving.http.routes.pages import pages_router
from serving.http.routes.predict import Admission, PredictionEndpoint, prediction_router, predictions
from serving.inference.catalogue import load_models
from serving.inference.engine import Engine
from serving.inference.faults import BreakableEngine, Faults, candidate_wrapper
from serving.inference.monitored_model import WatchedModel
from serving.metrics.process import REFRESH_SECONDS, Resources
from serving.metrics.vocabulary import HttpMetrics, Vocabulary, workers_folder
from serving.request import Lifecycle
from serving.rollout.canary import Rollout
from serving.settings import PROJECT, Settings

log = logging.getLogger("serving")

COUNT_SECONDS = 1
"""How long a row may wait to be counted for drift, where another worker answers the scrape."""


def project_version() -> str:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    return str(project["project"]["version"])


class Application(FastAPI):
    """A FastAPI application that `watch` surrounds whole, Starlette's outermost layer included.

    It has no pages and redirects of FastAPI's own, and sends no telemetry.
    """

    watch: PrometheusMiddleware

    def __init__(self, **options: Any) -> None:
        super().__init__(
            docs_url=None,
            redoc_url=None,
            openapi_url=None,
            redirect_slashes=False,
            telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
            exception_handlers={HTTPException: raise_api_error, Exception: raise_api_error},
            **options,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.watch(scope, receive, send)

    def answer_by(
        self,
        routers: Sequence[APIRouter],
        vocabulary: Vocabulary,
        declaration: Declaration,
        lifecycle: Lifecycle,
        direct: Mapping[str, PredictionEndpoint],
    ) -> None:
        """Answer by these routers, whose paths are `state.paths`, watched; a drain sets `state.lifecycle`."""
        for router in routers:
            self.include_router(router)
        metrics = HttpMetrics(vocabulary, declaration, declared_routes(routers))
        self.state.lifecycle = lifecycle
        self.state.paths = {getattr(route, "path", "") for router in routers for route in router.routes}
        quiet = QUIET_PATHS & self.state.paths
        self.watch = PrometheusMiddleware(super().__call__, metrics, lifecycle, direct, quiet)


def scrapes_application(
    registry: CollectorRegistry, vocabulary: Vocabulary, declaration: Declaration, lifecycle: Lifecycle
) -> Application:
    """Return what answers on METRICS_PORT: scrapes, and nothing else."""
    app = Application()
    app.add_exception_handler(NotFound.status, refuse_all_but_scrapes)
    app.answer_by([metrics_router(registry)], vocabulary, declaration, lifecycle, direct={})
    return app


async def refuse_all_but_scrapes(_request: Request, _error: Exception) -> Response:
    raise NotFound("This port answers GET /metrics alone.")


def create_app(settings: Settings, registry: CollectorRegistry) -> Application:
    """Return the application; BundleError where a model is not whole.

    A drain sets `state.lifecycle`. With METRICS_PORT `state.scrapes` answers there, and this one no scrapes.
    """
    vocabulary = Vocabulary(registry)
    models = [
        [WatchedModel(version, vocabulary) for version in versions]
        for versions in load_models(settings, engine_wrapper(settings))
    ]
    watched = list(chain.from_iterable(models))
    declaration = watched[0].model.declaration
    version = project_version()
    lifecycle = Lifecycle()
    rollout = make_rollout(settings, models[0], vocabulary)
    required = [it for it in watched if rollout is None or it is not rollout.candidate]
    faults = Faults(settings, registry) if any(settings.faults.values()) else None
    feedback = make_feedback(settings, watched, vocabulary)
    app = Application(
        title=f"{declaration.title} API",
        version=version,
        description=f"{declaration.description}\n\n{declaration.limits}",
        lifespan=lifespan(watched, Resources(vocabulary, declaration, version), feedback, rollout, settings),
    )
    answering = all_predictions(models, Admission(settings, lifecycle, faults), feedback, rollout)
    routers = [
        prediction_router(answering),
        models_router([version.model for version in watched]),
        health_router(required),
        probes_router(required, lifecycle),
        pages_router(app.title, app.version, watched, with_metrics=settings.metrics_port is None),
        openapi_router(app),
    ]
    if feedback:
        routers.append(feedback_router(feedback, Admission(settings, lifecycle, faults=None)))
    if settings.metrics_port is None:
        routers.append(metrics_router(registry))
    else:
        app.state.scrapes = scrapes_application(registry, vocabulary, declaration, lifecycle)
    direct = {prediction.path: prediction for prediction in answering}
    app.answer_by(routers, vocabulary, declaration, lifecycle, direct)
    if not workers_folder():
        ProcessCollector(registry=registry)
    return app


def make_feedback(
    settings: Settings, watched: Sequence[WatchedModel], vocabulary: Vocabulary
) -> Feedback | None:
    """Return what takes outcomes, where they are taken."""
    return (
        None
        if settings.feedback_database is None
        else Feedback(settings, [it.model for it in watched], vocabulary)
    )


def make_rollout(
    settings: Settings, versions: Sequence[WatchedModel], vocabulary: Vocabulary
) -> Rollout | None:
    """Return what chooses between the main model's served version and its candidate, where there is one.

    A candidate that is the served version has been promoted.
    """
    served, name = versions[0], settings.candidate_version
    if name is None:
        return None
    if name == served.model.version:
        log.warning(
            "no candidate is tried: it is served already",
            extra={"fields": {"candidate": name, "remedy": "set MODEL_VERSION, or unset CANDIDATE_VERSION"}},
        )
        return None
    candidate = next((it for it in versions if it.model.version == name), None)
    if candidate and settings.canary_share:
        declaration = candidate.model.declaration
        if declaration.without_version:
            raise BundleError(
                f"model.toml of '{declaration.name}': CANARY_PERCENT needs the version among the labels of "
                f"metrics.{declaration.without_version[0]}"
            )
        candidate.model.engine = candidate_wrapper(settings.fault_candidate_file)(candidate.model.engine)
        return Rollout(served, candidate, settings, vocabulary)
    return Rollout(served, None, settings, vocabulary)


def all_predictions(
    models: Sequence[Sequence[WatchedModel]],
    admission: Admission,
    feedback: Feedback | None,
    rollout: Rollout | None,
) -> list[PredictionEndpoint]:
    """Return what answers with the main model, and with several models with each under its name.

    Under its name alone a model answers with the version that the rollout chooses.
    """
    prefixes = [("", models[0])]
    if len(models) > 1:
        prefixes += [(f"/models/{versions[0].model.name}", versions) for versions in models]
    answering: list[PredictionEndpoint] = []
    for prefix, versions in prefixes:
        writers = {
            it.model.version: AnswerWriter(it.model, feedback.identifier(it.model) if feedback else None)
            for it in versions
        }
        answering += predictions(prefix, versions[0], admission, writers, rollout)
        if versions[0].model.declaration.routes.versioned:
            for it in versions:
                answering += predictions(f"{prefix}/{it.model.version}", it, admission, writers, None)
    return answering


def engine_wrapper(settings: Settings) -> Callable[[Engine], Engine]:
    file = settings.fault_engine_file
    return (lambda engine: BreakableEngine(engine, file)) if file else (lambda engine: engine)


def lifespan(
    models: Sequence[WatchedModel],
    resources: Resources,
    feedback: Feedback | None,
    rollout: Rollout | None,
    settings: Settings,
) -> Callable[[FastAPI], Any]:
    """Probe the models, and look at what the process uses, for as long as the application runs."""

    @asynccontextmanager
    async def running(_app: FastAPI) -> AsyncIterator[None]:
        started = {
            "models": [f"{watched.model.name}/{watched.model.version}" for watched in models],
            "environment": settings.environment,
            "faults": {name: value for name, value in settings.faults.items() if value},
        }
        log.info("started", extra={"fields": started})
        probe = [model.probe for model in models]
        count = [model.count_pending for model in models]
        tasks = [
            asyncio.create_task(repeat(settings.probe_seconds, probe)),
            asyncio.create_task(repeat(REFRESH_SECONDS, [resources.refresh])),
            asyncio.create_task(repeat(COUNT_SECONDS, count)),
        ]
        if feedback:
            tasks.append(asyncio.create_task(feedback.run()))
            tasks.append(asyncio.create_task(feedback.retention.run()))
            tasks.append(asyncio.create_task(repeat(KEYS_SECONDS, [feedback.refresh_keys])))
        if rollout and rollout.shadow:
            tasks.append(asyncio.create_task(rollout.shadow.run()))
        yield
        for task in tasks:
            task.cancel()
        for count_last in count:
            count_last()
        if feedback:
            feedback.close()

    return running


async def repeat(seconds: float, actions: Sequence[Callable[[], None]]) -> None:
    """Do it all again and again; what fails is logged, and neither ends nor skips the others."""
    while True:
        await asyncio.sleep(seconds)
        for action in actions:
            try:
                action()
            except Exception:  # a defect must not end it in silence
                log.exception("what is done again and again has failed")
