"""HEAD is answered wherever GET is, as GET and without a body; other methods say what is allowed."""

import json
import re

import pytest
import requests

from tests.harness import HEART, Server, eventually, problem, raw_exchange

pytestmark = pytest.mark.heart

FROM_EACH = {"x-request-id", "date", "content-length"}
"""Headers that differ between two requests: /metrics and problem documents are not of one length always."""


def head(server: Server, path: str, **headers: str) -> requests.Response:
    return requests.head(server.url + path, headers=headers, timeout=10)


def paths(server: Server) -> list[str]:
    """Return a path for each GET route, and some of which there is none."""
    console = server.get("/console/predict").text
    static = re.findall(r'(?:href|src)="\.\./(console/static/[^"]+)"', console)
    assert len(static) == 3
    model = f"/models/{HEART.name}"
    return [
        "/", "/docs", "/docs/swagger-ui.css", "/docs/favicon.png", "/openapi.json", "/metrics", "/health",
        "/livez", "/readyz", "/startupz", "/models", model, f"{model}/card", "/runbooks",
        "/console/predict", "/console/table", "/console/models", "/console/live", "/runbooks/style.css",
        "/models/unknown", "/docs/x", "/nothing", f"{model}/card?version=v9",
        *(f"/{file}" for file in static),
    ]  # fmt: skip


def test_head_has_the_headers_of_get(server: Server) -> None:
    for path in paths(server):
        for accept in ("text/html", "*/*"):
            given, asked = server.get(path, headers={"Accept": accept}), head(server, path, Accept=accept)
            assert asked.status_code == given.status_code, path
            assert asked.headers.keys() == given.headers.keys(), path
            for name in set(map(str.lower, given.headers)) - FROM_EACH:
                assert asked.headers[name] == given.headers[name], (path, name)
            assert int(asked.headers["content-length"]) > 0
    assert (
        head(server, "/models").headers["content-length"] == server.get("/models").headers["content-length"]
    )


def test_head_has_no_body_and_the_connection_stays_usable(server: Server) -> None:
    asked = b"HEAD %s HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"HEAD /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    said = raw_exchange(server.port, asked % b"/docs/swagger-ui-bundle.js" + asked % b"/metrics" + last)
    heads = said.split(b"\r\n\r\n")
    assert [answer[:12] for answer in heads] == [b"HTTP/1.1 200", b"HTTP/1.1 200", b"HTTP/1.1 404", b""]
    assert b"content-length: 1" in heads[0]


def test_head_is_counted_as_head_and_not_timed(server: Server) -> None:
    labels = {"method": "HEAD", "endpoint": "/health"}
    head(server, "/health")
    before = server.metric("api_requests_total", status_code="200", **labels)
    asked = head(server, "/health", **{"X-Request-ID": "asked-by-head"})
    assert asked.status_code == 200
    assert server.metric("api_requests_total", status_code="200", **labels) == before + 1
    assert not [name for name, have in server.metrics() if "duration" in name and ("method", "HEAD") in have]
    (line,) = server.requests_logged("asked-by-head")
    assert (line["method"], line["route"], line["level"]) == ("HEAD", "/health", "info")
    head(server, "/livez", **{"X-Request-ID": "probed-by-head"})
    (line,) = server.requests_logged("probed-by-head")
    assert (line["route"], line["level"]) == ("/livez", "debug")
    eventually(lambda: server.metric("active_requests") == 0, "nothing is in flight")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("HEAD", "/predict", "POST"),
        ("OPTIONS", "/predict", "POST"),
        ("OPTIONS", "/", "GET, HEAD"),
        ("DELETE", "/console/predict", "GET, HEAD, POST"),
        ("POST", "/docs/x", "GET, HEAD"),
    ],
)
def test_a_rejected_method_gets_every_allowed_one(
    server: Server, method: str, path: str, allowed: str
) -> None:
    response = requests.request(method, server.url + path, timeout=10)
    assert (response.status_code, response.headers["allow"]) == (405, allowed)
    if method != "HEAD":
        problem(response, 405, "MethodNotAllowed")


def test_openapi_lists_no_head(server: Server) -> None:
    document = json.loads(server.get("/openapi.json").text)
    assert {method for path in document["paths"].values() for method in path} == {"get", "post"}
