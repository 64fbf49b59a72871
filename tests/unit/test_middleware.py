"""PrometheusMiddleware when the application below it breaks, as a server sees it: through ASGI messages."""

import asyncio
import json
import logging
from contextlib import suppress
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bundle.declaration import Declaration
from serving.app import create_app, repeat
from serving.errors import ValidationError
from serving.http.middleware import PrometheusMiddleware
from serving.http.routes.predict import wants_explanation
from serving.logs import JsonFormatter
from serving.metrics.http import HttpMetrics
from serving.metrics.vocabulary import Vocabulary
from serving.request import Lifecycle
from serving.settings import Settings
from tests.harness import SAMPLE

PATIENT = "patient-4711"


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def ask(
    app: ASGIApp, registry: CollectorRegistry, declaration: Declaration, **of_scope: Any
) -> list[Message]:
    lifecycle = Lifecycle()
    metrics = HttpMetrics(Vocabulary(registry), declaration, [])
    watch = PrometheusMiddleware(app, metrics, lifecycle, {})
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/predict", "query_string": b"", "headers": []}
    asyncio.run(watch(scope | of_scope, receive, send))
    return sent


async def defective(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise ValueError(PATIENT)


def test_a_defect_is_a_problem_document_and_a_line_without_the_message(
    registry: CollectorRegistry, declaration: Declaration, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "serving"):
        start, body = ask(defective, registry, declaration)
    assert start["status"] == 500
    document: dict[str, Any] = json.loads(body["body"])
    assert document["type"] == "urn:problem-type:InternalError"
    (line,) = [JsonFormatter().format(record) for record in caplog.records]
    fields = json.loads(line)
    assert fields["level"] == "error"
    assert fields["request_id"] == document["request_id"]
    assert fields["cause"].startswith("ValueError at test_middleware.py:")
    assert PATIENT not in line + str(document)
    counted = {"error_type": "InternalError", "endpoint": "unmatched"}
    assert registry.get_sample_value("api_errors_total", counted) == 1
    assert registry.get_sample_value("active_requests") == 0


def test_a_logged_exception_omits_its_message() -> None:
    with pytest.raises(ValueError, match=PATIENT) as caught:
        raise ValueError(PATIENT)
    exception = (caught.type, caught.value, caught.tb)
    line = JsonFormatter().format(logging.LogRecord("uvicorn", logging.ERROR, "", 1, "failed", (), exception))
    assert PATIENT not in line
    assert json.loads(line)["cause"].startswith("ValueError at test_middleware.py:")


def test_a_failure_after_the_response_started_is_left_to_the_server(
    registry: CollectorRegistry, declaration: Declaration
) -> None:
    async def late(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ValueError(PATIENT)

    with pytest.raises(ValueError, match=PATIENT):
        ask(late, registry, declaration)
    assert registry.get_sample_value("active_requests") == 0


def test_an_application_that_answers_nothing_is_not_counted_as_a_status(
    registry: CollectorRegistry, declaration: Declaration
) -> None:
    async def silent(_scope: Scope, _receive: Receive, _send: Send) -> None: ...

    assert ask(silent, registry, declaration) == []
    counted = {"method": "other", "endpoint": "unmatched", "status_code": "499"}
    assert registry.get_sample_value("api_requests_total", counted) == 1


def test_a_repeated_task_continues_after_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    rounds = []

    def fail() -> None:
        raise TypeError

    async def run() -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(None) as running:

                def count() -> None:
                    rounds.append(1)
                    if len(rounds) == 3:
                        running.reschedule(0)

                await repeat(0, [fail, count])

    asyncio.run(run())
    assert len(rounds) >= 3
    assert "what is done again and again has failed" in caplog.text


@pytest.mark.parametrize("query", [b"&".join([b"a"] * 30_000), b"explain=" + b"%74" * 20_000, b"a" * 1025])
def test_a_long_query_is_not_parsed(
    registry: CollectorRegistry, declaration: Declaration, query: bytes
) -> None:
    async def never(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise AssertionError("the query came to the routers")

    start, body = ask(never, registry, declaration, query_string=query)
    assert start["status"] == 422
    assert json.loads(body["body"])["detail"] == f"The query has {len(query)} bytes; send 1024 at most."
    with pytest.raises(ValidationError, match="send 1024 at most"):
        wants_explanation(query)


def test_cookies_do_not_reach_the_routers(registry: CollectorRegistry, declaration: Declaration) -> None:
    seen: list[Scope] = []

    async def note(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope)

    accept = (b"accept", b"text/html")
    ask(note, registry, declaration, headers=[(b"cookie", b"a=b;" * 250_000), accept, (b"cookie", b"c=d")])
    assert seen[0]["headers"] == [accept]


async def answer_of(app: ASGIApp, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"content-type", b"application/json"), (b"x-request-id", b"same")]
    scope = {
        "type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"",
        "root_path": "", "headers": headers, "http_version": "1.1", "scheme": "http",
    }  # fmt: skip
    await app(scope, receive, send)
    return sent[0]["status"], json.loads(b"".join(message.get("body", b"") for message in sent))


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/predict", SAMPLE, 200),
        ("/predict/batch", {"instances": [SAMPLE, SAMPLE]}, 200),
        ("/predict", SAMPLE | {"age": "old"}, 422),
    ],
)
def test_the_direct_path_and_fastapis_routes_give_the_same_answer(
    path: str, body: dict[str, Any], status: int
) -> None:
    answers = []
    for direct in (True, False):
        app = create_app(Settings(), CollectorRegistry())
        assert path in app.prometheus_middleware.direct
        if not direct:
            app.prometheus_middleware.direct = {}
        answers.append(asyncio.run(answer_of(app, path, json.dumps(body).encode())))
    assert answers[0] == answers[1]
    assert answers[0][0] == status
