"""Of requests that are sent at once, the one that is refused gets the refusal, and those after it nothing."""

import re
from collections.abc import Iterator

import pytest

from tests.contract.test_unread_answers import logged
from tests.harness import Server, raw_exchange

pytestmark = pytest.mark.heart

PROBE = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
OFFER = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
LARGE = b"GET /livez HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 101 + b"\r\n"
LARGE_OFFER = OFFER[:-2] + b"a: b\r\n" * 101 + b"\r\n"
NO_HTTP = b"nothing\r\n\r\n"


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server({}).wait_until_ready()
    yield server
    assert server.stop() == 0
    assert not logged(server, level="error")


@pytest.mark.parametrize(
    ("sent", "statuses"),
    [
        ([LARGE, PROBE], ["431"]),
        ([LARGE_OFFER, PROBE], ["431"]),
        ([LARGE, OFFER, PROBE], ["431"]),
        ([PROBE, PROBE, LARGE], ["200", "200", "431"]),
        ([PROBE, LARGE, PROBE], ["200", "431"]),
        ([PROBE, LARGE, NO_HTTP], ["200", "431"]),
    ],
)
def test_each_of_them_gets_its_own_answer(server: Server, sent: list[bytes], statuses: list[str]) -> None:
    received = raw_exchange(server.port, b"".join(sent)).decode()
    assert re.findall(r"HTTP/1\.1 (\d+)", received) == statuses
