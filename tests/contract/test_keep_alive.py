"""An idle connection stays open as long as KEEP_ALIVE_SECONDS says, for the pools of proxies."""

import time
from collections.abc import Callable
from http.client import HTTPConnection

import pytest

from serving.server import server_config
from serving.settings import Settings
from tests.harness import Server

pytestmark = pytest.mark.heart


def test_an_idle_connection_outlives_the_pools_of_most_proxies() -> None:
    assert server_config(lambda *_: None, Settings()).timeout_keep_alive == 75  # type: ignore[arg-type]


def test_an_idle_connection_is_closed_after_its_time_and_not_before(start: Callable[..., Server]) -> None:
    server = start(KEEP_ALIVE_SECONDS="2")
    client = HTTPConnection("127.0.0.1", server.port, timeout=4)
    client.request("GET", "/livez")
    assert client.getresponse().read()
    assert client.sock
    begin = time.monotonic()
    assert client.sock.recv(1) == b""
    assert time.monotonic() - begin > 1.9
    client.close()
