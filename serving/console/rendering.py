"""Pages from templates that escape everything, and the static files that they load, named by their hash."""

import hashlib
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.responses import Response

from bundle.evaluation import METRIC_NAMES
from serving.console.posts import COOKIE
from serving.http.security_headers import Page

if TYPE_CHECKING:
    from jinja2 import Environment

HERE = Path(__file__).parent
MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
NEEDS = (
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "form-action 'self'",
)
IMMUTABLE = "public, max-age=31536000, immutable"
HASH_DIGITS = 12
UP = "../"
"""From a page under /console/ to the index: what links begin with."""


@dataclass(frozen=True)
class StaticFile:
    content: bytes
    media_type: str

    def response(self) -> Response:
        return Response(self.content, media_type=self.media_type, headers={"Cache-Control": IMMUTABLE})


class Renderer:
    """Renders the console's pages; `static` has its files by the name that a page calls them."""

    def __init__(self, version: str) -> None:
        self.static: dict[str, StaticFile] = {}
        names = {}
        for path in sorted((HERE / "static").iterdir()):
            content = path.read_bytes()
            names[path.name] = hashed_name(path, content)
            self.static[names[path.name]] = StaticFile(content, MEDIA_TYPES[path.suffix])
        self._shared = {"static": names, "version": version, "metric_names": METRIC_NAMES}

    @cached_property
    def _environment(self) -> "Environment":
        # imported with the first page: servers that only programs use need neither its memory nor its time
        from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415

        environment = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        environment.globals |= self._shared
        environment.filters["words"] = words
        environment.filters["path_part"] = partial(quote, safe="")
        return environment

    def page(self, template: str, status: int = 200, *, up: str = UP, **shown: Any) -> Response:
        """Return a page that no cache keeps; `up` leads from its address to the index."""
        content = self._environment.get_template(template).render(up=up, **shown)
        page = Page(content, *NEEDS)
        page.status_code = status
        page.headers["Cache-Control"] = "no-store"
        page.set_cookie(COOKIE, "1", path="/", httponly=True, samesite="strict")
        return page


def hashed_name(path: Path, content: bytes) -> str:
    return f"{path.stem}.{hashlib.sha256(content).hexdigest()[:HASH_DIGITS]}{path.suffix}"


def words(name: str) -> str:
    """Return a name of code as words: no_disease is "no disease"."""
    return name.replace("_", " ")
