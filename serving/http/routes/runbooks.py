"""GET /runbooks and /runbooks/{alert}: what an alert means and what to do, for browsers and as Markdown."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import Response

from serving.errors import NotFound
from serving.http.accept import prefers_page
from serving.http.schemas import problems
from serving.http.security_headers import Page

STYLE = "style.css"


def runbooks_router(folder: Path) -> APIRouter:
    """Return the routes of a folder's Markdown, with its style sheet and, in html/, its pages as HTML."""
    router = APIRouter(tags=["runbooks"], include_in_schema=False)
    runbooks = {path.stem: path for path in sorted(folder.glob("*.md"))}
    pages = folder / "html"
    listed = list_runbooks(runbooks)

    @router.get("/runbooks")
    async def list_all(request: Request) -> Response:
        for_browsers = prefers_page(request.scope["record"].headers, over="text/markdown")
        return page(pages / "index.html") if for_browsers else markdown(listed)

    @router.get("/runbooks/{alert}", responses=problems(NotFound))
    async def show(alert: str, request: Request) -> Response:
        if alert == STYLE:
            kept = {"Cache-Control": "max-age=86400"}
            return Response(content(folder / STYLE), media_type="text/css", headers=kept)
        name = alert.removesuffix(".md")
        if name not in runbooks:
            raise NotFound("There is no such runbook; GET /runbooks lists them.")
        headers = request.scope["record"].headers
        if prefers_page(headers, over="text/markdown") and name == alert:
            return page(pages / f"{name}.html")
        return markdown(content(runbooks[name]))

    return router


def list_runbooks(names: Iterable[str]) -> str:
    """Return the list as Markdown, for a reader at /runbooks."""
    return "# Runbooks\n\n" + "".join(f"- [{name}](runbooks/{name}.md)\n" for name in names)


def page(path: Path) -> Response:
    found = Page(content(path), "style-src 'self'")
    found.headers["Vary"] = "Accept"
    return found


def markdown(text: str | bytes) -> Response:
    return Response(text, media_type="text/markdown", headers={"Vary": "Accept"})


@cache
def content(path: Path) -> bytes:
    """Return a file's content, which all answers share."""
    return path.read_bytes()
