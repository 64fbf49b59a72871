"""Creates the one Job that retrains, as the pod's service account, over the Kubernetes REST API."""

import json
import os
import ssl
from http import HTTPStatus
from http.client import HTTPException as HttpClientError
from http.client import HTTPSConnection
from io import BytesIO
from pathlib import Path
from typing import Any

from bundle.errors import printable
from registry.download import DownloadError, copy, within
from serving.errors import AlreadyRunning, ClusterUnavailable
from serving.settings import SettingsError

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where Kubernetes puts a pod's token, and the certificate of its API server."""

ANSWER_SECONDS = 10
MOST_ANSWER_BYTES = 1024 * 1024


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


def create_job(job: dict[str, Any], account: Path = ACCOUNT, seconds: float = ANSWER_SECONDS) -> None:
    """Create the Job as the pod's account; AlreadyRunning where it is there, else ClusterUnavailable."""
    name, namespace = job["metadata"]["name"], job["metadata"]["namespace"]
    try:
        status, answer = within(seconds, lambda: post_job(job, namespace, account))
    except KeyError as error:
        raise unavailable(f"this is no pod: {error.args[0]} is not set") from None
    except (OSError, HttpClientError) as error:
        raise unavailable(f"{type(error).__name__}: {error}") from None
    except (ValueError, DownloadError) as error:  # a ValueError would repeat the token
        raise unavailable(type(error).__name__ if isinstance(error, ValueError) else str(error)) from None
    if status == HTTPStatus.CONFLICT:
        raise AlreadyRunning(
            f"Retraining is running, or has just ended: kubectl get job {name} --namespace {namespace}",
            headers={"Retry-After": "60"},
        )
    if status != HTTPStatus.CREATED:
        raise unavailable(f"{status}: {message(answer)}")


def post_job(job: dict[str, Any], namespace: str, account: Path) -> tuple[int, bytes]:
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
