"""Which application answers on which port, where scrapes have a port (METRICS_PORT)."""

import socket
from collections.abc import Sequence

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # not listened on
"""Every interface, and one of them."""


class ByPort:
    """Passes requests on the metrics port to `scrapes`, all others to `api`.

    The port is that of the accepted connection, not that of the Host header.
    """

    def __init__(self, api: ASGIApp, scrapes: ASGIApp, metrics_port: int) -> None:
        self._api = api
        self._scrapes = scrapes
        self._metrics_port = metrics_port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        _, port = scope.get("server") or (None, None)  # the events of a lifespan have none
        app = self._scrapes if port == self._metrics_port else self._api
        await app(scope, receive, send)


def by_port(app: FastAPI, listeners: Sequence[socket.socket]) -> ASGIApp:
    """Return the application for these sockets: the API's and, where there is a second, that of scrapes."""
    if len(listeners) == 1:
        return app
    return ByPort(app, app.state.scrapes, listeners[1].getsockname()[1])


def addresses(listeners: Sequence[socket.socket], *, documented: bool) -> dict[str, str]:
    """Return where to find what these sockets serve, for the log."""
    api, *others = [_url(listener) for listener in listeners]
    docs = {"docs": f"{api}/docs"} if documented else {}
    metrics = {"metrics": f"{others[0]}/metrics"} if others else {}
    return {"url": api, **docs, **metrics}


def _url(listener: socket.socket) -> str:
    """Return an address that a browser on this machine can open."""
    host, port = listener.getsockname()[:2]
    host = LOOPBACK.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
