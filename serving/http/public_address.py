"""Where clients find the service: behind a proxy its paths may begin with a prefix, ROOT_PATH."""

from dataclasses import dataclass
from urllib.parse import quote

from starlette.types import Scope


@dataclass(frozen=True)
class PublicAddress:
    """`root_path` is the prefix, such as "/api", whether the proxy strips it or not; "" is none."""

    root_path: str = ""

    def locate(self, scope: Scope) -> str:
        """Return the path of a request as routes name it; in the scope it gets the prefix, as clients see it.

        uvicorn's --root-path is a prefix, too: uvicorn puts it before every path.
        """
        own = without(self.root_path, without(scope.get("root_path", ""), scope["path"]))
        self.show(own, scope)
        return own

    def show(self, own: str, scope: Scope) -> None:
        """Put the path, which routes name so, into the scope as clients see it."""
        scope["root_path"] = root = self.root_path or scope.get("root_path", "").rstrip("/")
        scope["path"] = root + own


NO_PREFIX = PublicAddress()


def without(prefix: str, path: str) -> str:
    """Return a path without a prefix; one that does not begin with it, as it is."""
    rest = path.removeprefix(prefix)
    if not rest:
        return "/"
    return rest if rest.startswith("/") else path


def own_path(scope: Scope) -> str:
    """Return the path of a located request as routes name it."""
    path: str = scope["path"]
    return path[len(scope["root_path"]) :]


def public_prefix(scope: Scope) -> str:
    """Return what a link of a located request begins with; "" without a prefix."""
    return quote(scope["root_path"])
