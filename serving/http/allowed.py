"""Which methods a path takes: HEAD, too, wherever GET."""

from collections.abc import Iterable

from fastapi import APIRouter
from fastapi.routing import APIRoute


class AllowedMethods:
    """The methods of every declared route."""

    def __init__(self, routers: Iterable[APIRouter]) -> None:
        self._routes = [
            (route.path_regex, with_head(route.methods or ()))
            for router in routers
            for route in router.routes
            if isinstance(route, APIRoute)
        ]

    def at(self, path: str) -> list[str]:
        """Return the methods that a path takes, those of all routes that match it."""
        taken = [methods for regex, methods in self._routes if regex.match(path)]
        return sorted(set().union(*taken))


def with_head(methods: Iterable[str]) -> frozenset[str]:
    given = frozenset(methods)
    return given | {"HEAD"} if "GET" in given else given
