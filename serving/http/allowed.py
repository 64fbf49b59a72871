"""Which methods a path takes: HEAD, too, wherever GET."""

from collections.abc import Iterable

from fastapi import APIRouter
from fastapi.routing import APIRoute


class AllowedMethods:
    """The methods of every declared route."""

    def __init__(self, routers: Iterable[APIRouter]) -> None:
        self._routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]

    def at(self, path: str) -> list[str]:
        """Return the methods that a path takes, those of all routes that match it."""
        return sorted(set[str]().union(*(with_head(route) for route in self._matching(path))))

    def template(self, path: str) -> str | None:
        """Return the template of the route that a path matches."""
        found = self._matching(path)
        return found[0].path if found else None

    def _matching(self, path: str) -> list[APIRoute]:
        return [route for route in self._routes if route.path_regex.match(path)]


def with_head(route: APIRoute) -> set[str]:
    methods = set(route.methods or ())
    return methods | {"HEAD"} if "GET" in methods else methods
