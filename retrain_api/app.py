"""Serves POST /models/{name}/retrain, in a pod separate from the prediction API: `python -m retrain_api`.

It creates one Job, always the same, which the chart mounts as a file; its service account may do nothing else
in the cluster (docs/rollout.md). If the Job's name is taken, retraining is already running.
"""

import asyncio
import sys
from http import HTTPStatus

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse
from prometheus_client import CollectorRegistry

from bundle.declaration import load_declaration
from bundle.errors import BundleError
from retrain_api.jobs import create_job, read_job
from retrain_api.settings import RetrainSettings
from serving.app import project_version
from serving.bearer import BearerToken
from serving.errors import AlreadyRunning, ClusterUnavailable, NotFound, Unauthorized
from serving.http.application import Application, scrapes_application
from serving.http.routes.health import probes_router
from serving.http.routes.metrics import metrics_router
from serving.http.schemas import Index, problems
from serving.metrics.vocabulary import Vocabulary
from serving.request import Lifecycle
from serving.server import ServerError, listen, quiet_logs, serve
from serving.settings import SettingsError, read_settings


def create_app(settings: RetrainSettings, registry: CollectorRegistry) -> Application:
    """Return the application; SettingsError or BundleError where it could not do its work."""
    name = settings.model[0]
    declaration = load_declaration(settings.models_dir / name)
    read_job(settings.retrain_job)
    lifecycle = Lifecycle()
    app = Application(title=f"Retraining of {name}", version=project_version())
    routers = [
        retraining_router(settings, name),
        index_router(app),
        probes_router([], lifecycle),
    ]
    vocabulary = Vocabulary(registry)
    if settings.metrics_port is None:
        routers.append(metrics_router(registry))
    else:
        app.state.scrapes = scrapes_application(registry, vocabulary, declaration, lifecycle)
    app.add_routers(routers, vocabulary, declaration, lifecycle, direct={})
    return app


def retraining_router(settings: RetrainSettings, served: str) -> APIRouter:
    router = APIRouter()
    token = BearerToken("RETRAIN_KEY", settings.retrain_key, "the key to retraining")

    @router.post(
        "/models/{name}/retrain",
        status_code=HTTPStatus.ACCEPTED,
        dependencies=[Depends(token)],
        responses=problems(Unauthorized, NotFound, AlreadyRunning, ClusterUnavailable),
    )
    async def retrain(name: str, request: Request) -> JSONResponse:
        if name != served:
            raise NotFound(f"Only '{served}' is retrained here.")
        job = read_job(settings.retrain_job)
        job_name, namespace = job["metadata"]["name"], job["metadata"]["namespace"]
        await asyncio.to_thread(create_job, job)
        request.scope["record"].log.add(job=job_name)
        watch = f"kubectl logs --follow job/{job_name} --namespace {namespace}"
        started = {"status": "started", "job": job_name, "namespace": namespace, "watch": watch}
        return JSONResponse(started, HTTPStatus.ACCEPTED)

    return router


def index_router(app: Application) -> APIRouter:
    router = APIRouter()
    index = Index(name=app.title, version=app.version, models=[], links={"retrain": "/models/{name}/retrain"})

    @router.get("/")
    async def show_index() -> Index:
        return index

    return router


def main() -> int:
    try:
        settings = read_settings(RetrainSettings)
        quiet_logs(settings)
        app = create_app(settings, CollectorRegistry())
        with listen(settings) as listeners:
            return serve(app, settings, listeners)
    except (SettingsError, BundleError, ServerError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
