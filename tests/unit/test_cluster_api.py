"""How retraining, which creates one Job, handles the answers of a cluster's API server."""

import json
import ssl
import subprocess
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

import pytest

from retrain_api.jobs import create_job
from serving.errors import AlreadyRunning, ClusterUnavailable
from tests.mlflow import Answer, RawServer, answered

JOB = {"kind": "Job", "metadata": {"name": "retrain", "namespace": "mlops"}}
TOKEN = "MARKED-token"  # noqa: S105
CHUNKED = b"HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that Kubernetes mounts into a pod, with the server's own certificate."""
    folder = tmp_path_factory.mktemp("account")
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(folder / "tls.key"), "-out", str(folder / "ca.crt")]
    subprocess.run(["openssl", "req", "-x509", *curve, *names, *files], check=True, capture_output=True)
    (folder / "token").write_text(f"{TOKEN}\n", encoding="ascii")
    return folder


def created(monkeypatch: pytest.MonkeyPatch, account: Path, answer: Answer) -> str:
    """Create the Job on a server that gives this answer, and return the request."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(account / "ca.crt", account / "tls.key")
    with RawServer(lambda _: answer, tls) as server:
        host, _, port = server.host.partition(":")
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
        create_job(JOB, account, seconds=1)
    return server.requests[0]


def cause(monkeypatch: pytest.MonkeyPatch, account: Path, answer: Answer) -> str:
    with pytest.raises(ClusterUnavailable) as raised:
        created(monkeypatch, account, answer)
    said = str(raised.value.cause)
    assert said.isprintable()
    assert len(said) <= 1000
    assert TOKEN not in said
    return said


def test_a_job_is_created_once(monkeypatch: pytest.MonkeyPatch, account: Path) -> None:
    request = created(monkeypatch, account, answered(b"{}", "201 Created"))
    assert request.startswith("POST /apis/batch/v1/namespaces/mlops/jobs HTTP/1.1\r\n")
    assert f"Authorization: Bearer {TOKEN}\r\n" in request
    with pytest.raises(AlreadyRunning):
        created(monkeypatch, account, answered(b"{}", "409 Conflict"))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (answered({"message": "no \x1b[31m right\n"}, "403 Forbidden"), r"403: no \x1b[31m right\n"),
        (answered({"message": "x" * 5000}, "403 Forbidden"), "403: xxx"),
        (answered(b"[" * 100_000, "403 Forbidden"), "403: no reason given"),
        (answered(b"null", "403 \x1b[31m"), "403: no reason given"),
        (answered(b"", "302 Found", "Location: http://127.0.0.1:1/"), "302: no reason given"),
        (answered(b"half", "403 Forbidden", length=100), "IncompleteRead"),
        (CHUNKED + b"zz\r\n", "IncompleteRead"),
        (b"\x1b[31mhello\r\n\r\n", r"BadStatusLine: \x1b[31mhello"),
        (
            b"HTTP/1.1 201 Created\r\n" + b"X: y\r\n" * 101 + b"\r\n",
            "HTTPException: got more than 100 headers",
        ),
        (repeat(b"HTTP/1.1 100 Continue\r\n\r\n"), "TimeoutError"),
    ],
)
def test_a_failure_of_the_api_server_is_reported_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, account: Path, answer: Answer, said: str
) -> None:
    assert cause(monkeypatch, account, answer).startswith(said)


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 403 Forbidden\r\n\r\n", CHUNKED + b"-1\r\n", b"HTTP/1.1 201 Created\r\n\r\n"]
)
def test_an_endless_answer_is_aborted(monkeypatch: pytest.MonkeyPatch, account: Path, head: bytes) -> None:
    def endless() -> Iterator[bytes]:
        yield head
        yield from repeat(b"x" * 65_536)

    assert "it sends more than the 1,048,576 bytes" in cause(monkeypatch, account, endless())


@pytest.mark.parametrize("token", [f"{TOKEN}\nX: y", f"{TOKEN}é"])
def test_an_invalid_token_is_not_revealed(
    monkeypatch: pytest.MonkeyPatch, account: Path, tmp_path: Path, token: str
) -> None:
    (tmp_path / "token").write_text(token, encoding="utf-8")
    for name in ("ca.crt", "tls.key"):
        (tmp_path / name).write_bytes((account / name).read_bytes())
    assert cause(monkeypatch, tmp_path, answered(json.dumps({}).encode())).endswith("Error")


def test_an_invalid_port_is_reported(monkeypatch: pytest.MonkeyPatch, account: Path) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "https")
    with pytest.raises(ClusterUnavailable):
        create_job(JOB, account)
