"""X-Forwarded-*: believed from proxies that TRUSTED_PROXIES names, ignored from anybody else."""

from collections.abc import Iterator

import pytest

from tests.harness import SAMPLE, Server, problem
from tests.pages import opened, read

pytestmark = pytest.mark.heart

HEADERS = {
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "heart.example.org:8443",
    "X-Forwarded-Prefix": "/teams/heart",
    "X-Forwarded-For": "203.0.113.7",
}


@pytest.fixture(scope="module")
def trusting() -> Iterator[Server]:
    settings = {"TRUSTED_PROXIES": "192.0.2.1, 127.0.0.0/8", "DRAIN_SECONDS": "0"}
    server = Server(settings).wait_until_ready()
    yield server
    assert server.stop() == 0
    assert not [line for line in server.lines if "Traceback" in line or "203.0.113" in line]


def shown(server: Server, **headers: str) -> str:
    """Return the command that the console shows for a prediction."""
    fields = opened(server, "/console/predict?example=0").fields["predict"]
    page = read(server.post("/console/predict", data=fields, headers=HEADERS | headers))
    return page.text[page.text.index("curl -s") :].partition(" -H")[0].replace("'", "")


def test_a_named_proxy_says_the_public_address(trusting: Server) -> None:
    assert shown(trusting) == "curl -s https://heart.example.org:8443/teams/heart/predict"
    document = trusting.get("/openapi.json", headers=HEADERS).json()
    assert document["servers"] == [{"url": "/teams/heart"}]
    links = trusting.get("/", headers=HEADERS).json()["links"]
    assert links["predict"] == "/teams/heart/predict"
    rejected = problem(trusting.post("/predict", {}, headers=HEADERS), 422, "ValidationError")
    assert rejected["instance"] == "/teams/heart/predict"


def test_a_proxy_that_is_not_named_is_ignored(server: Server) -> None:
    assert shown(server) == f"curl -s {server.url}/predict"
    assert "servers" not in server.get("/openapi.json", headers=HEADERS).json()
    assert (
        problem(server.post("/predict", {}, headers=HEADERS), 422, "ValidationError")["instance"]
        == "/predict"
    )


def test_a_named_proxy_that_says_nothing_changes_nothing(trusting: Server) -> None:
    assert "servers" not in trusting.get("/openapi.json").json()
    assert trusting.post("/predict", SAMPLE).json()["label"] == "no_disease"


@pytest.mark.parametrize(
    ("header", "value", "expected"),
    [
        ("X-Forwarded-Proto", "ftp", "http://heart.example.org:8443/teams/heart"),
        ("X-Forwarded-Proto", "HTTPS://x", "http://heart.example.org:8443/teams/heart"),
        ("X-Forwarded-Proto", "http, https", "https://heart.example.org:8443/teams/heart"),
        ("X-Forwarded-Host", "spoofed.example, [2001:db8::1]:81", "https://[2001:db8::1]:81/teams/heart"),
        ("X-Forwarded-Prefix", "//evil.example", "https://heart.example.org:8443"),
        ("X-Forwarded-Prefix", "/a/../b", "https://heart.example.org:8443"),
        ("X-Forwarded-Prefix", '/"><script>', "https://heart.example.org:8443"),
        ("X-Forwarded-Prefix", "/a/", "https://heart.example.org:8443"),
    ],
)
def test_what_has_another_form_is_ignored(trusting: Server, header: str, value: str, expected: str) -> None:
    assert shown(trusting, **{header: value}) == f"curl -s {expected}/predict"


@pytest.mark.parametrize("host", ["evil.example/x", "a b", "'; rm -rf"])
def test_no_strange_host_is_shown(trusting: Server, host: str) -> None:
    address = shown(trusting, **{"X-Forwarded-Host": host})
    assert address == f"curl -s https://127.0.0.1:{trusting.port}/teams/heart/predict"


def test_a_form_is_of_the_own_site_by_the_forwarded_host(trusting: Server, server: Server) -> None:
    """A proxy may rename the host; a browser over plain HTTP says the public one in Origin."""
    fields = opened(trusting, "/console/predict?example=0").fields["predict"]
    headers = HEADERS | {"Origin": "https://heart.example.org:8443"}
    assert trusting.post("/console/predict", data=fields, headers=headers).status_code == 200
    assert server.post("/console/predict", data=fields, headers=headers).status_code == 403
    other = HEADERS | {"Origin": "https://evil.example"}
    assert trusting.post("/console/predict", data=fields, headers=other).status_code == 403


def test_the_setting_of_the_prefix_wins() -> None:
    settings = {"TRUSTED_PROXIES": "127.0.0.1", "ROOT_PATH": "/api", "DRAIN_SECONDS": "0"}
    server = Server(settings).wait_until_ready()
    assert server.get("/openapi.json", headers=HEADERS).json()["servers"] == [{"url": "/api"}]
    server.stop()
