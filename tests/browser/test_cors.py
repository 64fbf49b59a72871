"""A page of another origin predicts in a real browser, where CORS_ORIGINS names that origin."""

import json
from collections.abc import Iterator

import pytest

from tests.browser.conftest import Visit
from tests.harness import SAMPLE, Server

PREDICT = """async ([address, row]) => {
  const headers = {"Content-Type": "application/json", "X-Request-ID": "from-a-page"};
  try {
    const answer = await fetch(address, {method: "POST", headers, body: row});
    return [answer.status, answer.headers.get("x-request-id"), (await answer.json()).detail ?? "predicted"];
  } catch (error) {
    return [0, null, error.name];
  }
}"""


@pytest.fixture(scope="module")
def sharing(server: Server) -> Iterator[Server]:
    """A server that shares with the origin of the other server's pages, by one of its two names."""
    origin = server.url.replace("127.0.0.1", "localhost")
    sharing = Server({"CORS_ORIGINS": origin, "DRAIN_SECONDS": "0"}).wait_until_ready()
    yield sharing
    sharing.stop()


def test_a_page_of_a_named_origin_reads_answers_and_errors(
    server: Server, sharing: Server, visit: Visit
) -> None:
    page = visit(f"{server.url.replace('127.0.0.1', 'localhost')}/nothing", "404|422")
    for row, status, said in ((SAMPLE, 200, "predicted"), ({}, 422, "'age'")):
        answer = page.evaluate(PREDICT, [f"{sharing.url}/predict", json.dumps(row)])
        assert answer[:2] == [status, "from-a-page"]
        assert said in answer[2]


def test_a_page_of_another_origin_reads_nothing(server: Server, sharing: Server, visit: Visit) -> None:
    page = visit(f"{server.url}/nothing", "404|blocked by CORS policy|Failed to load resource")
    answer = page.evaluate(PREDICT, [f"{sharing.url}/predict", json.dumps(SAMPLE)])
    assert answer == [0, None, "TypeError"]
    assert sharing.metric("api_requests_total", endpoint="unmatched", status_code="405") >= 1
