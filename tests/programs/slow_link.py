"""A link to a server on which each piece takes a while, and the end of a connection does.

On loopback a proxy sees at once that an idle connection was closed. Over a network its request may be on the
way then.
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress


@contextmanager
def slow_link(port: int, seconds: float) -> Iterator[int]:
    """Pass connections on to a port until the end of the block, and yield the port of this side."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = asyncio.run_coroutine_threadsafe(listen(port, seconds), loop).result(10)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(end(server), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


async def listen(port: int, seconds: float) -> asyncio.Server:
    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.CancelledError), closing(writer):
            from_server, to_server = await asyncio.open_connection("127.0.0.1", port)
            with closing(to_server):
                await asyncio.gather(
                    pass_on(reader, to_server, seconds), pass_on(from_server, writer, seconds)
                )

    return await asyncio.start_server(connect, "127.0.0.1", 0)


async def pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter, seconds: float) -> None:
    """Pass one direction on, to its end; a connection that was reset has ended."""
    with suppress(ConnectionError):
        while data := await source.read(65536):
            asyncio.get_running_loop().call_later(seconds, target.write, data)
    await asyncio.sleep(seconds)
    target.close()


async def end(server: asyncio.Server) -> None:
    """Close the server and its connections, whose transports need two turns of the loop for it."""
    server.close()
    connections = asyncio.all_tasks() - {asyncio.current_task()}
    for task in connections:
        task.cancel()
    await asyncio.gather(*connections, return_exceptions=True)
    for _ in range(2):
        await asyncio.sleep(0)
