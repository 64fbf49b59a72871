"""HOST=:: listens on IPv6 and IPv4, on both ports, and names an address that can be opened."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from tests.harness import Server

pytestmark = pytest.mark.heart


def named(server: Server) -> dict[str, str]:
    (line,) = [json.loads(line) for line in server.lines if '"listening"' in line]
    return dict(line)


@pytest.mark.parametrize("host", ["::", "0:0::0"])
def test_the_any_address_of_ipv6_answers_both_families(start: Callable[..., Server], host: str) -> None:
    server = start(HOST=host, METRICS_PORT="0")
    line = named(server)
    assert line["url"] == f"http://[::1]:{server.port}"
    for url in (line["url"], server.url):
        assert requests.get(f"{url}/health", timeout=5).status_code == 200
    for url in (line["metrics"], line["metrics"].replace("[::1]", "127.0.0.1")):
        assert "predictions_total" in requests.get(url, timeout=5).text
        assert requests.get(url.replace("/metrics", "/health"), timeout=5).status_code == 404


def test_workers_answer_both_families(start: Callable[..., Server]) -> None:
    server = start(HOST="::", WORKERS="2")
    for host in ("[::1]", "127.0.0.1"):
        assert requests.get(f"http://{host}:{server.port}/health", timeout=5).status_code == 200


def test_one_address_of_ipv6_is_that_alone() -> None:
    server = Server({"HOST": "::1"})
    server.url = f"http://[::1]:{server.port}"
    assert server.wait_until_ready().stop() == 0


def test_every_interface_is_named_by_one_that_can_be_opened(start: Callable[..., Server]) -> None:
    server = start(HOST="0.0.0.0")  # noqa: S104
    assert named(server)["docs"] == f"http://127.0.0.1:{server.port}/docs"


def test_the_retraining_endpoint_answers_both_families(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text(
        '{"kind":"Job","metadata":{"name":"a","namespace":"b"}}', encoding="utf-8"
    )
    (tmp_path / "key").write_text("5d41402abc4b2a76b9719d911017c5927f83b1657ff1fc53b92dc18148a1d65d")
    files = {"RETRAIN_JOB": str(tmp_path / "job.json"), "RETRAIN_KEY": str(tmp_path / "key")}
    settings = files | {"HOST": "::", "DRAIN_SECONDS": "0"}
    server = Server(settings, [sys.executable, "-m", "retrain_api"]).wait_until_ready()
    assert requests.get(f"http://[::1]:{server.port}/readyz", timeout=5).status_code == 200
    assert server.stop() == 0
