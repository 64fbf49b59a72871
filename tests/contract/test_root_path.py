"""ROOT_PATH: behind a proxy every path begins with a prefix, whether the proxy strips it or not."""

import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin

import pytest
import requests

from tests.contract.test_lifecycle import refused_start
from tests.harness import SAMPLE, Server, problem
from tests.pages import Page, read

pytestmark = pytest.mark.heart

PREFIX = "/teams/heart"
BROWSER = {"Accept": "text/html"}
UVICORN = [sys.executable, "-m", "uvicorn", "api_server:app", "--port", "{port}", "--root-path", PREFIX]


@dataclass
class Proxy:
    """Asks the server as a proxy does for a client that knows addresses with the prefix alone."""

    server: Server
    strips: bool

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        assert path == PREFIX or path.startswith(f"{PREFIX}/"), path
        sent = (path.removeprefix(PREFIX) or "/") if self.strips else path
        return requests.request(method, self.server.url + sent, timeout=10, **options)

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.ask("GET", path, **options)

    def page(self, path: str) -> Page:
        return read(self.get(path, headers=BROWSER))


@pytest.fixture(scope="module")
def prefixed() -> Iterator[Server]:
    server = Server({"ROOT_PATH": PREFIX, "LOG_LEVEL": "debug", "DRAIN_SECONDS": "0"}).wait_until_ready()
    yield server
    assert server.stop() == 0
    assert not [line for line in server.lines if "Traceback" in line or '"level":"error"' in line]


@pytest.fixture(scope="module")
def of_uvicorn() -> Iterator[Server]:
    """The bare uvicorn command with its own option, which is for proxies that strip the prefix."""
    server = Server({"LOG_LEVEL": "debug"}, UVICORN).wait_until_ready()
    yield server
    server.stop()


@pytest.fixture(params=["stripped", "kept", "uvicorn"])
def proxy(request: pytest.FixtureRequest) -> Proxy:
    name = "of_uvicorn" if request.param == "uvicorn" else "prefixed"
    return Proxy(request.getfixturevalue(name), strips=request.param != "kept")


def test_the_documentation_posts_to_the_prefix(proxy: Proxy) -> None:
    page = proxy.page(f"{PREFIX}/docs")
    for link in page.links:
        assert proxy.get(urljoin(f"{PREFIX}/docs", link)).status_code == 200, link
    assert 'url: "openapi.json"' in proxy.get(f"{PREFIX}/docs/start.js").text
    document = proxy.get(f"{PREFIX}/openapi.json").json()
    assert document["servers"] == [{"url": PREFIX}]
    assert "/predict" in document["paths"]
    assert proxy.ask("POST", f"{PREFIX}/predict", json=SAMPLE).json()["label"] == "no_disease"


def test_the_index_links_to_the_prefix(proxy: Proxy) -> None:
    for address in (PREFIX, f"{PREFIX}/"):
        links = proxy.get(address).json()["links"]
        assert {proxy.get(link).status_code for name, link in links.items() if name != "predict"} == {200}


def test_every_link_and_form_of_the_console_stays_below_the_prefix(proxy: Proxy) -> None:
    seen: set[str] = set()
    pages = [PREFIX, f"{PREFIX}/", f"{PREFIX}/console/models", f"{PREFIX}/console/live", f"{PREFIX}/runbooks"]
    for address in pages:
        for link in proxy.page(address).links:
            path = urljoin(address, link).partition("#")[0]
            if path not in seen:
                assert proxy.get(path, headers=BROWSER).status_code == 200, (address, link)
            seen.add(path)
    assert len(seen) > 20


def test_a_form_predicts_and_shows_the_public_address(proxy: Proxy) -> None:
    page = proxy.page(f"{PREFIX}/?example=0")
    answer = read(proxy.ask("POST", f"{PREFIX}/console/predict", data=page.fields["predict"]))
    assert f"{proxy.server.url}{PREFIX}/predict" in answer.text


def test_the_forms_of_the_index_post_below_the_prefix(proxy: Proxy) -> None:
    for address in (PREFIX, f"{PREFIX}/"):
        actions = re.findall(r'action="([^"]+)"', proxy.get(address, headers=BROWSER).text)
        assert [urljoin(address, action) for action in actions] == [f"{PREFIX}/console/predict"]


def test_errors_name_the_public_path(proxy: Proxy) -> None:
    for method, path, status, error_type in (
        ("GET", "/nothing", 404, "NotFound"),
        ("GET", "/predict", 405, "MethodNotAllowed"),
        ("POST", "/predict", 422, "ValidationError"),
        ("POST", "/predict/batch", 422, "ValidationError"),
    ):
        document = problem(proxy.ask(method, PREFIX + path, json={}), status, error_type)
        assert document["instance"] == PREFIX + path
    assert proxy.get(f"{PREFIX}/predict").headers["allow"] == "POST"


def test_routes_are_counted_without_the_prefix(proxy: Proxy) -> None:
    server, counted = proxy.server, {"endpoint": "/predict", "status_code": "200"}
    before = server.metric("api_requests_total", **counted)
    proxy.ask("POST", f"{PREFIX}/predict", json=SAMPLE)
    assert server.metric("api_requests_total", **counted) == before + 1
    endpoints = {dict(labels).get("endpoint", "") for _, labels in server.metrics()}
    assert not [endpoint for endpoint in endpoints if PREFIX in endpoint]


def test_probes_and_scrapes_stay_quiet(proxy: Proxy) -> None:
    server = proxy.server
    for path in ("/livez", "/readyz", "/startupz", "/metrics"):
        direct, public = (f"{kind}{proxy.strips}{path}" for kind in ("direct", "public"))
        assert server.get(path, headers={"X-Request-ID": direct}).status_code == 200
        assert proxy.get(PREFIX + path, headers={"X-Request-ID": public}).status_code == 200
        for request_id in (direct, public):
            (line,) = server.requests_logged(request_id)
            assert (line["route"], line["level"]) == (path, "debug")
    assert server.metric("active_requests") == 0
    assert "\nactive_requests 0.0\n" in proxy.get(f"{PREFIX}/metrics").text


def test_a_prediction_by_either_spelling_takes_the_same_way(prefixed: Server) -> None:
    for path in ("/predict", f"{PREFIX}/predict", f"{PREFIX}/predict/batch"):
        body = {"instances": [SAMPLE]} if path.endswith("batch") else SAMPLE
        assert prefixed.post(path, body).status_code == 200
    near = (f"{PREFIX}x/predict", f"{PREFIX}//predict", f"{PREFIX}{PREFIX}/predict", "/teams/predict")
    for path in near:
        problem(prefixed.post(path, SAMPLE), 404, "NotFound")


def test_without_a_prefix_nothing_has_one(server: Server) -> None:
    assert "servers" not in server.get("/openapi.json").json()
    assert server.get("/").json()["links"]["predict"] == "/predict"


def test_a_prefix_that_is_one_of_our_own_paths_stops_the_start() -> None:
    code, said = refused_start(ROOT_PATH="/models")
    assert code == 1
    assert said.startswith("error: ROOT_PATH must not begin as one of the service's own paths does")
    assert "\n" not in said


def test_workers_have_the_prefix_too(start: Callable[..., Server]) -> None:
    server = start(ROOT_PATH=PREFIX, WORKERS="2")
    assert {server.post(f"{PREFIX}/predict", SAMPLE).status_code for _ in range(10)} == {200}
    assert json.loads(server.get("/openapi.json").text)["servers"] == [{"url": PREFIX}]
