"""Serves POST /models/{name}/retrain, apart from predictions: `python -m retrain_api`.

It creates one Job, always the same, which the chart gives it as a file; its account can do nothing else in
the cluster (docs/rollout.md). That the Job's name is taken says that a run is under way.
"""

import asyncio
import json
import os
import ssl
import sys
from http import HTTPStatus
from http.client import HTTPException as HttpClientError
from http.client import HTTPSConnection
from io import BytesIO
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse
from prometheus_client import CollectorRegistry
from pydantic import field_validator

from bundle.declaration import load_declaration
from bundle.errors import BundleError, printable
from registry.download import DownloadError, copy, within
from serving.app import Application, project_version, scrapes_application
from serving.bearer import BearerToken
from serving.errors import (
    AlreadyRunning,
    ClusterUnavailable,
    NotFound,
    Unauthorized,
)
from serving.http.routes.health import probes_router
from serving.http.routes.metrics import metrics_router
from serving.http.schemas import Index, problems
from serving.metrics.vocabulary import Vocabulary
from serving.request import Lifecycle
from serving.secret_files import is_in_folder
from serving.server import ServerError, listen, quiet_logs, serve
from serving.settings import Settings, SettingsError, read_settings

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where Kubernetes puts a pod's token, and the certificate of its API server."""

ANSWER_SECONDS = 10
MOST_ANSWER_BYTES = 1024 * 1024


class RetrainingSettings(Settings):
    """Settings of this component: those of the server that it has a use for, and two of its own."""

    retrain_job: Path
    retrain_key: Path

    @field_validator("retrain_job", "retrain_key")
    @classmethod
    def _place(cls, value: Path) -> Path:
        """Refuse what is no file, nor in a folder: it may be the key itself, and messages name it."""
        if not os.path.isfile(value) and not is_in_folder(value):  # noqa: PTH113  # does not raise
            raise ValueError("no such file")
        return value


def create_app(settings: RetrainingSettings, registry: CollectorRegistry) -> Application:
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
    app.answer_by(routers, vocabulary, declaration, lifecycle, direct={})
    return app


def retraining_router(settings: RetrainingSettings, served: str) -> APIRouter:
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
        its, namespace = job["metadata"]["name"], job["metadata"]["namespace"]
        await asyncio.to_thread(create, job)
        request.scope["record"].tell(job=its)
        watch = f"kubectl logs --follow job/{its} --namespace {namespace}"
        return JSONResponse(
            {"status": "started", "job": its, "namespace": namespace, "watch": watch}, HTTPStatus.ACCEPTED
        )

    return router


def index_router(app: Application) -> APIRouter:
    router = APIRouter()
    index = Index(name=app.title, version=app.version, models=[], links={"retrain": "/models/{name}/retrain"})

    @router.get("/")
    async def show_index() -> Index:
        return index

    return router


def read_job(file: Path) -> dict[str, Any]:
    """Return the Job that is created; SettingsError where the file has none."""
    try:
        job = json.loads(file.read_bytes())
        named = job["kind"] == "Job" and job["metadata"]["name"] and job["metadata"]["namespace"]
    except OSError as error:
        raise SettingsError(f"RETRAIN_JOB={file} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, RecursionError):
        named = False
    if not named:
        raise SettingsError(f"RETRAIN_JOB={file} is no Job with a name and a namespace, as JSON")
    found: dict[str, Any] = job
    return found


def create(job: dict[str, Any], account: Path = ACCOUNT, seconds: float = ANSWER_SECONDS) -> None:
    """Create the Job as the pod's account; AlreadyRunning where it is there, else ClusterUnavailable."""
    name, namespace = job["metadata"]["name"], job["metadata"]["namespace"]
    try:
        status, answer = within(seconds, lambda: ask(job, namespace, account))
    except KeyError as error:
        raise unavailable(f"this is no pod: {error.args[0]} is not set") from None
    except (OSError, HttpClientError) as error:
        raise unavailable(f"{type(error).__name__}: {error}") from None
    except (ValueError, DownloadError) as error:  # a ValueError would repeat the token
        raise unavailable(type(error).__name__ if isinstance(error, ValueError) else str(error)) from None
    if status == HTTPStatus.CONFLICT:
        raise AlreadyRunning(
            f"A run is under way, or has just ended: kubectl get job {name} --namespace {namespace}",
            headers={"Retry-After": "60"},
        )
    if status != HTTPStatus.CREATED:
        raise unavailable(f"{status}: {message(answer)}")


def ask(job: dict[str, Any], namespace: str, account: Path) -> tuple[int, bytes]:
    """Send the Job to the API server, and return the status and the content of its answer."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], int(os.environ["KUBERNETES_SERVICE_PORT"])
    token = (account / "token").read_text(encoding="ascii").strip()
    context = ssl.create_default_context(cafile=account / "ca.crt")
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # not every cluster's CA is by the RFC
    connection = HTTPSConnection(host, port, timeout=ANSWER_SECONDS, context=context)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    answer = BytesIO()
    try:
        connection.request("POST", f"/apis/batch/v1/namespaces/{namespace}/jobs", json.dumps(job), headers)
        with connection.getresponse() as response:
            copy(response, MOST_ANSWER_BYTES, answer)
    finally:
        connection.close()
    return response.status, answer.getvalue()


def unavailable(cause: str) -> ClusterUnavailable:
    return ClusterUnavailable(
        "The Job could not be created; this component's log says why.", cause=printable(cause)
    )


def message(answer: bytes) -> str:
    """Return what the API server says of a request that it does not take."""
    try:
        return str(json.loads(answer)["message"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return "no reason given"


def main() -> int:
    try:
        settings = read_settings(RetrainingSettings)
        quiet_logs(settings)
        app = create_app(settings, CollectorRegistry())
        with listen(settings) as listeners:
            return serve(app, settings, listeners)
    except (SettingsError, BundleError, ServerError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
