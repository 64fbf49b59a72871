"""Responses are compressed where the client asks and it pays, and say that they depend on the client."""

import gzip
import re

import pytest
import requests

from bench.compression import PAGES
from tests.harness import SAMPLE, Server

pytestmark = pytest.mark.heart

LARGE = [path for path in PAGES if path != "/health"]
BATCH = {"instances": [SAMPLE] * 100}


def ask(server: Server, path: str, accept_encoding: str | None, body: object = None) -> requests.Response:
    """Return a response whose content is as it was sent."""
    headers = {"Accept": "text/html", "Accept-Encoding": accept_encoding}
    answer = requests.request(
        "GET" if body is None else "POST",
        server.url + path,
        json=body,
        headers=headers,
        stream=True,
        timeout=10,
    )
    answer._content = answer.raw.read(decode_content=False)  # noqa: SLF001
    return answer


@pytest.mark.parametrize("path", LARGE)
def test_a_large_response_is_compressed_where_asked(server: Server, path: str) -> None:
    plain, coded = ask(server, path, None), ask(server, path, "gzip")
    assert "content-encoding" not in plain.headers
    assert coded.headers["content-encoding"] == "gzip"
    assert int(coded.headers["content-length"]) == len(coded.content) < len(plain.content) / 2
    for answer in (plain, coded):
        assert "Accept-Encoding" in answer.headers["vary"]
        assert answer.headers["content-type"] == plain.headers["content-type"]
    if path not in ("/metrics", "/console/live"):  # whose numbers move
        assert gzip.decompress(coded.content) == plain.content


def test_a_batch_is_compressed_and_a_row_is_not(server: Server) -> None:
    plain, coded = (ask(server, "/predict/batch", coding, BATCH) for coding in (None, "gzip"))
    assert (plain.headers["vary"], coded.headers["vary"]) == ("Accept-Encoding", "Accept-Encoding")
    assert coded.headers["content-encoding"] == "gzip"
    assert int(coded.headers["content-length"]) == len(coded.content) < len(plain.content) / 5
    assert b'"predictions"' in gzip.decompress(coded.content)
    for path in ("/predict", "/health", "/livez", "/"):
        answer = ask(server, path, "gzip", SAMPLE if path == "/predict" else None)
        if len(answer.content) < 1024:
            assert {"content-encoding", "vary"} & set(map(str.lower, answer.headers)) <= {"vary"}
            assert "Accept-Encoding" not in answer.headers.get("vary", "")


@pytest.mark.parametrize(
    ("accept_encoding", "compressed"),
    [
        ("gzip", True), ("GZIP", True), ("x-gzip", True), ("deflate, gzip;q=0.5", True), ("*", True),
        ("br, *;q=0.1", True), ("gzip;q=1.0, identity;q=0.5", True), ("gzip ; q=0.001", True),
        ("gzip;q=0", False), ("gzip;q=0, *", False), ("identity", False), ("br", False), ("", False),
        ("identity, gzip;q=0.5", False), ("*;q=0", False), ("gzip;q=x", False), ("gzipped", False),
    ],
)  # fmt: skip
def test_the_client_says_whether(server: Server, accept_encoding: str, *, compressed: bool) -> None:
    for path, body in (("/openapi.json", None), ("/predict/batch", BATCH)):
        answer = ask(server, path, accept_encoding, body)
        assert ("content-encoding" in answer.headers) == compressed, path
        assert answer.headers["vary"] == "Accept-Encoding"


def test_what_is_compressed_already_stays_as_it_is(server: Server) -> None:
    answer = ask(server, "/docs/favicon.png", "gzip")
    assert len(answer.content) > 1024
    assert not {"content-encoding", "vary"} & set(map(str.lower, answer.headers))


def test_static_files_are_compressed_and_stay_cacheable(server: Server) -> None:
    page = server.get("/console/predict").text
    files = re.findall(r'"\.\./(console/static/[^"]+)"', page)
    for path in [*(f"/{file}" for file in files), "/docs/swagger-ui-bundle.js"]:
        plain, *coded = (ask(server, path, coding) for coding in (None, "gzip", "gzip"))
        assert plain.headers["cache-control"] == coded[0].headers["cache-control"]
        if len(plain.content) >= 1024:
            for answer in coded:
                assert answer.headers["content-encoding"] == "gzip"
                assert gzip.decompress(answer.content) == plain.content


def test_vary_names_all_that_a_response_depends_on(server: Server) -> None:
    assert ask(server, "/", "gzip").headers["vary"] == "Accept, Accept-Encoding"


def test_head_says_the_same_as_get(server: Server) -> None:
    given = ask(server, "/openapi.json", "gzip")
    asked = requests.head(f"{server.url}/openapi.json", headers={"Accept-Encoding": "gzip"}, timeout=10)
    for name in ("content-encoding", "content-length", "vary"):
        assert asked.headers[name] == given.headers[name]


def test_an_error_of_a_large_request_is_a_plain_problem(server: Server) -> None:
    answer = ask(server, "/nothing", "gzip")
    assert answer.status_code == 404
    assert "content-encoding" not in answer.headers
