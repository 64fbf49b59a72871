"""The composition root: the only place where the parts are wired together."""

import asyncio
import logging
import tomllib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from prometheus_client import CollectorRegistry, ProcessCollector

from bundle.errors import BundleError
from serving.console.console import Console
from serving.console.live.chosen import Served
from serving.console.live.process import ProcessSource
from serving.console.live.prometheus import PrometheusSource
from serving.console.rendering import Renderer
from serving.console.routes import console_router
from serving.console.targets import Targets
from serving.feedback.service import KEYS_SECONDS, FeedbackService
from serving.http.admission import Admission
from serving.http.application import Application, scrapes_application
from serving.http.cors import CrossOrigin
from serving.http.openapi import openapi_router
from serving.http.public_address import PublicAddress
from serving.http.response_writer import ResponseWriter
from serving.http.routes.feedback import feedback_router
from serving.http.routes.health import health_router, probes_router
from serving.http.routes.metrics import metrics_router
from serving.http.routes.models import models_router
from serving.http.routes.pages import pages_router
from serving.http.routes.predict import PredictionEndpoint, model_endpoints, prediction_router
from serving.http.routes.runbooks import runbooks_router
from serving.inference.catalogue import ModelVersions, ServedModel, ServedModels, load_models
from serving.inference.faults import Faults, with_faults
from serving.inference.monitored_model import MonitoredModel
from serving.metrics.event_loop import EventLoopLag
from serving.metrics.process import REFRESH_SECONDS, ProcessMetrics, show_newest_start
from serving.metrics.vocabulary import Vocabulary
from serving.request import Lifecycle
from serving.rollout.canary import Rollout
from serving.setting_groups import RolloutSettings
from serving.settings import PROJECT, Settings, SettingsError
from serving.turns import Turns

log = logging.getLogger("serving")

COUNT_SECONDS = 1
"""How long a row may wait to be counted for drift, where another worker answers the scrape."""

RUNBOOKS = PROJECT / "monitoring" / "runbooks"

Monitored = ServedModels[MonitoredModel]


def project_version() -> str:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    return str(project["project"]["version"])


def create_app(
    settings: Settings, registry: CollectorRegistry, workers_folder: Path | None = None
) -> Application:
    """Return the application; BundleError where a model is not whole.

    A drain sets `state.lifecycle`. With METRICS_PORT `state.scrapes` answers there, and this one no scrapes.
    Several workers share their counts in a folder.
    """
    vocabulary = Vocabulary(registry, workers_folder)
    loaded = load_models(settings.models, partial(with_faults, settings.faults))
    tried = without_promoted(settings.rollout, loaded.main.main.version)
    canary = tried.version if tried and tried.share else None
    models = loaded.map(lambda model: MonitoredModel(model, vocabulary, candidate=model.version == canary))
    served = [monitored.model for monitored in models.versions]
    declaration, version = models.main.main.model.declaration, project_version()
    rollout = make_rollout(tried, models.main, vocabulary)
    feedback = FeedbackService(settings.feedback, served, vocabulary) if settings.feedback else None
    live = None
    if settings.console:
        live = live_source(settings, registry, served, tries_candidate=rollout is not None)
    app = Application(
        title=f"{declaration.title} API",
        version=version,
        description=f"{declaration.description}\n\n{declaration.limits}",
        lifespan=lifespan(
            started_fields(settings, models),
            [
                every(settings.probe_seconds, *(monitored.probe for monitored in models.versions)),
                EventLoopLag(vocabulary, declaration).run,
                every(REFRESH_SECONDS, ProcessMetrics(vocabulary, declaration, version).refresh),
                *feedback_tasks(feedback),
                *([rollout.shadow.run] if rollout and rollout.shadow else []),
                *([live.run] if isinstance(live, ProcessSource) else []),
            ],
            [monitored.count_pending for monitored in models.versions],
            [feedback.close] if feedback else [],
        ),
    )
    lifecycle = Lifecycle(turns=Turns(settings.limits.queue_seconds))
    faults = Faults(settings.faults, vocabulary) if settings.faults.active else None
    endpoints = prediction_endpoints(models, Admission(settings.limits, lifecycle, faults), feedback, rollout)
    console = None
    if live:
        forms = Admission(settings.limits, lifecycle, faults=None)
        console = Console(Targets(endpoints), served, forms, feedback, Renderer(app.version), live)
    required = [model for model in models.versions if rollout is None or model is not rollout.candidate]
    routers = [
        prediction_router(endpoints),
        models_router(served),
        health_router(required),
        probes_router(required, lifecycle),
        pages_router(
            app.title,
            app.version,
            models.versions,
            with_metrics=settings.metrics_port is None,
            for_browsers=console.start if console else None,
        ),
        runbooks_router(RUNBOOKS),
        openapi_router(app),
    ]
    if console:
        routers.append(console_router(console))
    if feedback:
        routers.append(feedback_router(feedback, Admission(settings.limits, lifecycle, faults=None)))
    if settings.metrics_port is None:
        routers.append(metrics_router(registry))
    else:
        app.state.scrapes = scrapes_application(registry, vocabulary, declaration, lifecycle)
    direct = {endpoint.path: endpoint for endpoint in endpoints}
    address = PublicAddress(settings.root_path, settings.trusted_proxies)
    cors = None
    if settings.cors_origins:
        cors = CrossOrigin(settings.cors_origins, settings.canary_key_header)
    app.add_routers(routers, vocabulary, declaration, lifecycle, direct, address=address, cors=cors)
    check_prefix(settings.root_path, app.state.paths)
    if workers_folder is None:
        ProcessCollector(registry=registry)
    else:
        show_newest_start(vocabulary)
    return app


def check_prefix(prefix: str, paths: Iterable[str]) -> None:
    """Raise SettingsError for a prefix that cannot be told from the beginning of the service's own paths."""
    first = prefix.split("/")[1:2]
    if first and any(path.split("/")[1:2] == first for path in paths):
        raise SettingsError(
            "ROOT_PATH must not begin as one of the service's own paths does, such as /models: choose another"
        )


def live_source(
    settings: Settings, registry: CollectorRegistry, models: Sequence[ServedModel], *, tries_candidate: bool
) -> ProcessSource | PrometheusSource:
    """Return what the console's live page asks: the Prometheus of the settings, else this process."""
    served = Served(models[0].declaration, tries_candidate, settings.feedback is not None)
    if settings.prometheus:
        return PrometheusSource(settings.prometheus, served)
    return ProcessSource(registry.collect, served, [model.declaration for model in models])


def without_promoted(settings: RolloutSettings | None, served_version: str) -> RolloutSettings | None:
    """Return what a candidate is tried with; None where it is the served version, and so promoted."""
    if settings is None or settings.version != served_version:
        return settings
    fields = {"candidate": settings.version, "remedy": "set MODEL_VERSION, or unset CANDIDATE_VERSION"}
    log.warning("no candidate is tried: it is served already", extra={"fields": fields})
    return None


def make_rollout(
    settings: RolloutSettings | None, versions: ModelVersions[MonitoredModel], vocabulary: Vocabulary
) -> Rollout | None:
    """Return what chooses between the main model's served version and its candidate, where there is one."""
    if settings is None:
        return None
    if not settings.share:
        return Rollout(versions.main, None, settings, vocabulary)
    candidate = next(other for other in versions.others if other.model.version == settings.version)
    declaration = candidate.model.declaration
    if declaration.without_version:
        raise BundleError(
            f"model.toml of '{declaration.name}': CANARY_PERCENT needs the version among the labels of "
            f"metrics.{declaration.without_version[0]}"
        )
    return Rollout(versions.main, candidate, settings, vocabulary)


def prediction_endpoints(
    models: Monitored, admission: Admission, feedback: FeedbackService | None, rollout: Rollout | None
) -> list[PredictionEndpoint]:
    """Return what answers with the main model, and with several models with each under its name.

    Under its name alone a model answers with the version that the rollout chooses.
    """
    prefixes = [("", models.main)]
    if len(models.models) > 1:
        prefixes += [(f"/models/{versions.main.model.name}", versions) for versions in models.models]
    endpoints: list[PredictionEndpoint] = []
    for prefix, versions in prefixes:
        writers = {
            version.model.version: ResponseWriter(
                version.model, feedback.id_writer(version.model) if feedback else None
            )
            for version in versions
        }
        endpoints += model_endpoints(prefix, versions.main, admission, writers, rollout)
        if versions.main.model.declaration.routes.versioned:
            for version in versions:
                path = f"{prefix}/{version.model.version}"
                endpoints += model_endpoints(path, version, admission, writers, None)
    return endpoints


Task = Callable[[], Any]
"""Makes a coroutine that runs for as long as the server does."""


def feedback_tasks(feedback: FeedbackService | None) -> list[Task]:
    if feedback is None:
        return []
    return [feedback.run, feedback.retention.run, every(KEYS_SECONDS, feedback.refresh_keys)]


def started_fields(settings: Settings, models: Monitored) -> dict[str, object]:
    """Return what the log says at the start."""
    names = [f"{version.model.name}/{version.model.version}" for version in models.versions]
    registered = {"registered": str(settings.fetched)} if settings.fetched else {}
    faults = dict(settings.faults.active)
    return {"models": names, **registered, "environment": settings.environment, "faults": faults}


def lifespan(
    started: dict[str, object],
    tasks: Iterable[Task],
    count_pending: Sequence[Callable[[], None]],
    close: Iterable[Callable[[], None]],
) -> Callable[[FastAPI], Any]:
    """Run the tasks for as long as the application runs, then count what is left and close."""

    @asynccontextmanager
    async def running(_app: FastAPI) -> AsyncIterator[None]:
        log.info("started", extra={"fields": started})
        running = [asyncio.create_task(task()) for task in (*tasks, every(COUNT_SECONDS, *count_pending))]
        yield
        for task in running:
            task.cancel()
        for action in (*count_pending, *close):
            action()

    return running


def every(seconds: float, *actions: Callable[[], None]) -> Task:
    return partial(repeat, seconds, actions)


async def repeat(seconds: float, actions: Sequence[Callable[[], None]]) -> None:
    """Do all actions again and again; one that fails is logged, and neither ends nor skips the others."""
    while True:
        await asyncio.sleep(seconds)
        for action in actions:
            try:
                action()
            except Exception:  # a defect must not end it in silence
                log.exception("what is done again and again has failed")
