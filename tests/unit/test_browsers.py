"""Headers for browsers: every page, present or future, has a content security policy."""

import asyncio
from html.parser import HTMLParser
from itertools import chain

import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute
from prometheus_client import CollectorRegistry
from starlette.responses import HTMLResponse
from starlette.types import Message

from bundle.declaration import Declaration
from bundle.manifest import load_manifest
from serving.app import create_app
from serving.console.rendering import Renderer
from serving.http.application import Application
from serving.http.openapi import openapi_document
from serving.http.routes.pages import pages_router
from serving.metrics.vocabulary import Vocabulary
from serving.request import Lifecycle
from serving.settings import Settings
from tests.harness import HEART
from training.card import render_card, render_page

HOSTILE = [
    "</title><script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "`${alert(1)}` 'single' \"double\" & <b>",
    "[read](javascript:alert(1)) ![x](https://x.example/y) | *a* _b_ ~c~ \\",
]


def ask(app: Application, path: str) -> tuple[int, dict[str, str], str]:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        "type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"",
        "root_path": "", "headers": [(b"accept", b"text/html")], "http_version": "1.1", "scheme": "http",
    }  # fmt: skip
    asyncio.run(app(scope, receive, send))
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    body = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], headers, body.decode("utf-8", "replace")


def with_pages(declaration: Declaration, title: str, *others: APIRouter) -> Application:
    app = Application(title=title, version="1")
    routers = [pages_router(title, "1", [], with_metrics=True), *others]
    app.add_routers(routers, Vocabulary(CollectorRegistry()), declaration, Lifecycle(), {})
    return app


class Page(HTMLParser):
    """The text of elements, by tag, and the files that a page loads."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: dict[str, list[str]] = {}
        self.files: list[str] = []
        self._open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert not [name for name, _ in attrs if name.startswith("on") or name == "style"], (tag, attrs)
        self.texts.setdefault(tag, []).append("")
        self.files += [value or "" for name, value in attrs if name in ("src", "href")]
        self._open.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.get(self._open[-1] if self._open else "", [""])[-1] += data

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass


NEVER = ("default-src", "base-uri", "frame-ancestors")


def check_policy(headers: dict[str, str], *, forms: str = "'none'") -> None:
    """Check that a page cannot be framed or sniffed, runs no inline script, and sends no referrer."""
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert {policy[name] for name in NEVER} == {"'none'"}
    assert policy["form-action"] == forms
    assert policy.get("script-src", "'self'") == policy.get("connect-src", "'self'") == "'self'"


def test_every_page_has_a_content_security_policy() -> None:
    app = create_app(Settings(), CollectorRegistry())
    style = next(name for name in Renderer("1").static if name.endswith(".css"))
    pages = set()
    for route in chain.from_iterable(included.original_router.routes for included in app.routes):  # type: ignore[attr-defined]
        if isinstance(route, APIRoute) and "GET" in (route.methods or ()):
            path = route.path.format(
                name="heart-disease", asset="swagger-ui.css", alert="ApiDown", file=style
            )
            status, headers, _ = ask(app, path)
            if path in ("/console", "/console/"):
                assert status == 307
                assert headers["location"].endswith("predict")
                continue
            assert (status, headers["x-content-type-options"]) == (200, "nosniff"), path
            if "html" in headers["content-type"]:
                own = route.path == "/" or route.path.startswith("/console/")
                check_policy(headers, forms="'self'" if own else "'none'")
                if own:
                    assert "unsafe" not in headers["content-security-policy"]
                    assert headers["cache-control"] == "no-store"
                pages.add(route.path)
    console = {"/", "/console/predict", "/console/table", "/console/live", "/console/models"}
    assert pages == {"/docs", "/models/{name}/card", "/runbooks", "/runbooks/{alert}"} | console


@pytest.mark.parametrize("media_type", ["text/html", "image/svg+xml", "application/xhtml+xml"])
def test_a_page_without_a_policy_gets_the_strictest(declaration: Declaration, media_type: str) -> None:
    router = APIRouter()

    @router.get("/later")
    async def later() -> HTMLResponse:
        return HTMLResponse("<svg/>", media_type=media_type)

    status, headers, _ = ask(with_pages(declaration, "x", router), "/later")
    assert status == 200
    check_policy(headers)
    assert "-src 'self'" not in headers["content-security-policy"]


def test_a_problem_document_is_not_sniffed(declaration: Declaration) -> None:
    for path in ("/nowhere", "/docs/nothing"):
        status, headers, _ = ask(with_pages(declaration, "x"), path)
        assert (status, headers["x-content-type-options"]) == (404, "nosniff")


@pytest.mark.parametrize("title", HOSTILE)
def test_the_documentation_escapes_a_title(declaration: Declaration, title: str) -> None:
    app = with_pages(declaration, title)
    page = Page(ask(app, "/docs")[2])
    assert page.texts["title"] == [title]
    assert page.texts["script"] == ["", ""], "a script of the page itself would need 'unsafe-inline'"
    assert not page.texts.keys() & {"img", "b", "a"}
    for file in page.files:
        status, headers, _ = ask(app, f"/{file}")
        assert (status, headers["x-content-type-options"]) == (200, "nosniff"), file


@pytest.mark.parametrize("title", HOSTILE)
def test_a_card_escapes_a_title(declaration: Declaration, title: str) -> None:
    hostile = declaration.model_copy(update={"title": title})
    manifest = load_manifest(HEART / "v1", declaration)
    page = Page(render_page(hostile, manifest).decode())
    assert page.texts["title"] == [f"{title} v1"]
    assert page.texts["h1"] == [title]
    assert not page.texts.keys() & {"script", "b"}
    assert "https://x.example/y" not in page.files
    assert render_card(hostile, [manifest]).count("\n# ") == 0


@pytest.mark.parametrize("title", HOSTILE)
def test_openapi_has_a_title_verbatim(title: str) -> None:
    app = create_app(Settings(), CollectorRegistry())
    app.title = title
    assert openapi_document(app)["info"]["title"] == title
