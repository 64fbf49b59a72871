"""GET /runbooks: every alert's page, for a browser and as Markdown, and nothing else."""

from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin

import pytest
import requests
import yaml

from tests.harness import PROJECT, Server, problem

pytestmark = pytest.mark.heart

RUNBOOKS = PROJECT / "monitoring" / "runbooks"
RULES = [
    *(PROJECT / "monitoring" / "rules").glob("*.yaml"),
    *(PROJECT / "helm-charts" / "heart-disease-api" / "files" / "rules").glob("*.yaml"),
]
ALERTS = sorted(
    {
        rule["alert"]
        for file in RULES
        for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
        if "alert" in rule
    }
)
BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


class Links(HTMLParser):
    """What a page refers to; no element of it has a style or a handler, and none is a script."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in {"script", "style", "img", "iframe"}
        for name, value in attrs:
            assert name != "style"
            assert not name.startswith("on")
            if name in ("src", "href"):
                self.found.append(value or "")


def vary(answer: requests.Response) -> str:
    """Return what decides about a page beside its compression."""
    return answer.headers["vary"].removesuffix(", Accept-Encoding")


def read(server: Server, path: str) -> requests.Response:
    """Return the page of a path, whose headers are strict and whose links all lead somewhere."""
    answer = server.get(path, headers=BROWSER)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert (answer.headers["x-content-type-options"], vary(answer)) == ("nosniff", "Accept")
    assert answer.headers["referrer-policy"] == "no-referrer"
    policy = set(answer.headers["content-security-policy"].split("; "))
    assert policy >= {"default-src 'none'", "style-src 'self'", "frame-ancestors 'none'"}
    assert "unsafe" not in str(policy)
    for link in Links(answer.text).found:
        assert server.get(urljoin(path, link), headers=BROWSER).status_code == 200, (path, link)
    return answer


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_has_a_page_and_the_same_as_markdown(server: Server, alert: str) -> None:
    page = read(server, f"/runbooks/{alert}").text
    assert f"<h1>{alert}</h1>" in page
    written = (RUNBOOKS / f"{alert}.md").read_text(encoding="utf-8")
    for path in (f"/runbooks/{alert}", f"/runbooks/{alert}.md"):
        answer = server.get(path)
        assert answer.headers["content-type"] == "text/markdown; charset=utf-8"
        assert answer.text == written


def test_the_list_names_every_alert(server: Server) -> None:
    pages = [link for link in Links(read(server, "/runbooks").text).found if not link.endswith(".css")]
    assert pages == [f"runbooks/{alert}" for alert in ALERTS]
    answer = server.get("/runbooks")
    assert answer.headers["content-type"] == "text/markdown; charset=utf-8"
    assert [line for line in answer.text.splitlines() if line.startswith("- ")] == [
        f"- [{alert}](runbooks/{alert}.md)" for alert in ALERTS
    ]


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("*/*", "markdown"),
        ("text/markdown", "markdown"),
        ("text/markdown, text/html;q=0.9, */*;q=0.1", "markdown"),
        ("text/plain", "markdown"),
        ("text/html", "html"),
        ("text/html;q=0.5, */*;q=0.1", "html"),
    ],
)
def test_the_client_chooses_by_accept(server: Server, accept: str, media_type: str) -> None:
    for path in ("/runbooks", "/runbooks/ApiDown"):
        answer = server.get(path, headers={"Accept": accept})
        assert answer.headers["content-type"] == f"text/{media_type}; charset=utf-8"
        assert vary(answer) == "Accept"


@pytest.mark.parametrize(
    "name",
    ["Nothing", "<script>", "index", "index.md", "style", "apidown", "ApiDown.html", "ApiDown.md.md", ".md",
     "..%2F..%2Fpyproject.toml", "html%2FApiDown.html", "%2Fetc%2Fpasswd", "ApiDown%00"],
)  # fmt: skip
def test_an_unknown_alert_is_a_problem_that_names_nothing(server: Server, name: str) -> None:
    for headers in (BROWSER, {"Accept": "*/*"}):
        found: dict[str, Any] = problem(server.get(f"/runbooks/{name}", headers=headers), 404, "NotFound")
        assert found["detail"].endswith(("GET /runbooks lists them.", "GET / lists what is."))
        assert "<" not in found["instance"]


def test_pages_are_counted_by_their_route_and_logged_as_others_are(start: Any) -> None:
    server = start()
    shown = {"endpoint": "/runbooks/{alert}", "method": "GET"}
    assert server.metric("api_requests_total", status_code="404", **shown) == 0
    before = set(server.metrics())
    for name in ("ApiDown", "ApiDown.md", "style.css"):
        server.get(f"/runbooks/{name}", headers=BROWSER)
    for number in range(20):
        server.get(f"/runbooks/Nothing{number}")
    server.get("/runbooks", headers={"X-Request-ID": "list"})
    assert server.metric("api_requests_total", status_code="200", **shown) == 3
    assert server.metric("api_requests_total", status_code="404", **shown) == 20
    assert set(server.metrics()) == before
    (line,) = server.requests_logged("list")
    assert (line["level"], line["route"], line["status"]) == ("info", "/runbooks", 200)
