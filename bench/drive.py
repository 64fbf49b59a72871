"""Sends requests through uvicorn and the application without a socket: `python -m bench.drive APP REQUESTS`.

For counting instructions (bench/instructions.py) and for profilers. APP is ours or echo.
"""

import asyncio
import gc
import sys
from typing import Any

import uvloop
from starlette.types import ASGIApp
from uvicorn.server import ServerState

from bench.load import request_bytes
from serving.main import bare_app
from serving.server import server_config
from serving.settings import Settings
from serving.transport.connections import Connections
from serving.transport.guard import GuardedConnection
from serving.turns import Turns


class MemoryTransport(asyncio.Transport):
    """A connection that takes answers and forgets them."""

    def __init__(self) -> None:
        super().__init__()
        self.succeeded = 0
        self.answered = asyncio.Event()

    def write(self, data: Any) -> None:
        if data.startswith(b"HTTP/1.1 "):
            self.succeeded += data.startswith(b"HTTP/1.1 200 ")
            self.answered.set()

    def is_closing(self) -> bool:
        return False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"sockname": ("127.0.0.1", 8000), "peername": ("127.0.0.1", 50000)}.get(name, default)

    def close(self) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None: ...


def application(name: str) -> ASGIApp:
    if name == "echo":
        from bench.echo import app  # noqa: PLC0415

        return app
    return bare_app()


async def drive(app: ASGIApp, requests: int) -> int:
    """Send requests one after another over one connection, and return how many got a 200."""
    config = server_config(app, Settings())
    config.load()
    state = ServerState()
    nobody: Any = None  # no request is refused
    state.connections = Connections(Settings().connections, Turns(), nobody, nobody)  # type: ignore[assignment]  # used as a set
    protocol = GuardedConnection(config, state, {})
    transport = MemoryTransport()
    protocol.connection_made(transport)
    request = request_bytes()
    gc.collect()
    gc.freeze()  # a collection of all that the start has made would fall on some requests, or on none
    for _ in range(requests):
        protocol.data_received(request)
        await transport.answered.wait()
        transport.answered.clear()
    protocol.connection_lost(None)
    return transport.succeeded


if __name__ == "__main__":
    succeeded = uvloop.run(drive(application(sys.argv[1]), int(sys.argv[2])))
    if succeeded != int(sys.argv[2]):
        raise SystemExit(f"error: only {succeeded} requests were answered with 200")
