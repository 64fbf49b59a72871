import asyncio
import errno
import socket

import pytest
from starlette.types import Message, Receive, Scope, Send

from serving.server import ServerError, listen
from serving.settings import Settings
from serving.transport.ports import ByPort, addresses


def test_two_free_ports_are_taken_when_both_are_0() -> None:
    with listen(Settings(port=0, metrics_port=0)) as listeners:
        api, metrics = [listener.getsockname()[1] for listener in listeners]
        assert api != metrics
        said = addresses(listeners, documented=True)
    url = f"http://127.0.0.1:{api}"
    assert said == {"url": url, "docs": f"{url}/docs", "metrics": f"http://127.0.0.1:{metrics}/metrics"}


def test_one_port_is_taken_without_a_metrics_port() -> None:
    with listen(Settings(port=0)) as listeners:
        assert list(addresses(listeners, documented=False)) == ["url"]


def test_a_port_in_use_names_its_setting_and_frees_the_other() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.create_server(("127.0.0.1", 0)) as other:
        port, free = taken.getsockname()[1], other.getsockname()[1]
        other.close()
        with pytest.raises(ServerError, match=rf"port {port} .*: set METRICS_PORT$"):
            listen(Settings(port=free, metrics_port=port)).__enter__()
        with pytest.raises(ServerError, match=rf"port {port} .*: set HOST and PORT$"):
            listen(Settings(port=port, metrics_port=free)).__enter__()
        with listen(Settings(port=free)):
            pass


@pytest.mark.parametrize(
    ("server", "answered"),
    [
        (("127.0.0.1", 9091), "scrapes"), (("::1", 9091, 0, 0)[:2], "scrapes"), (("127.0.0.1", 8000), "api"),
        (("/run/api.sock", None), "api"), (None, "api"),
    ],
)  # fmt: skip
def test_the_connections_port_selects_the_application(
    server: tuple[str, int | None] | None, answered: str
) -> None:
    asked: list[str] = []

    def named(name: str) -> "Recorder":
        return Recorder(name, asked)

    async def receive() -> Message:
        raise AssertionError

    async def send(_: Message) -> None: ...

    headers = [(b"host", b"127.0.0.1:9091"), (b"x-forwarded-port", b"9091")]
    scope: Scope = {"type": "http", "path": "/metrics", "headers": headers, "server": server}
    asyncio.run(ByPort(named("api"), named("scrapes"), 9091)(scope, receive, send))
    asyncio.run(ByPort(named("api"), named("scrapes"), 9091)({"type": "lifespan"}, receive, send))
    assert asked == [answered, "api"]


class Recorder:
    def __init__(self, name: str, asked: list[str]) -> None:
        self._name = name
        self._asked = asked

    async def __call__(self, _scope: Scope, _receive: Receive, _send: Send) -> None:
        self._asked.append(self._name)


def test_a_machine_without_ipv6_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_ipv6(*_: object, **__: object) -> socket.socket:
        raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")

    monkeypatch.setattr(socket, "socket", without_ipv6)
    with pytest.raises(ServerError, match=r"^cannot listen on ::: this machine has no IPv6; set HOST=0\.0\."):
        listen(Settings(host="::", port=0)).__enter__()
