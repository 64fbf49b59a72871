"""METRICS_PORT: scrapes have their own port, on which nothing else is answered."""

import json
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.contract.test_lifecycle import refused_start
from tests.harness import SAMPLE, Series, Server, eventually, free_port, problem, raw_exchange

pytestmark = pytest.mark.heart

KEY = "5d41402abc4b2a76b9719d911017c5927f83b1657ff1fc53b92dc18148a1d65d"


def listening(server: Server) -> dict[str, Any]:
    """Return the ports that the server logged when it began to listen."""
    lines = [json.loads(line) for line in server.lines if '"listening"' in line]
    return dict(lines[0])


def scrape(server: Server) -> Series:
    text = requests.get(listening(server)["metrics"], timeout=10).text
    families = text_string_to_metric_families(text)
    return {(s.name, frozenset(s.labels.items())): s.value for f in families for s in f.samples}


def value(series: Series, name: str, **labels: str) -> float:
    return sum(
        number for (metric, have), number in series.items() if metric == name and labels.items() <= set(have)
    )


@pytest.fixture(scope="module")
def apart() -> Iterator[Server]:
    server = Server({"METRICS_PORT": "0", "LOG_LEVEL": "debug", "DRAIN_SECONDS": "0"}).wait_until_ready()
    yield server
    assert server.stop() == 0
    assert not [line for line in server.lines if "Traceback" in line or '"level":"error"' in line]


@pytest.fixture(scope="module")
def metrics_url(apart: Server) -> str:
    """The address of the metrics port, without a path."""
    return str(listening(apart)["metrics"]).removesuffix("/metrics")


def test_the_line_of_the_log_names_both_ports(apart: Server, metrics_url: str) -> None:
    (line,) = [json.loads(line) for line in apart.lines if '"listening"' in line]
    assert line["url"] == apart.url != metrics_url
    assert line["docs"] == f"{apart.url}/docs"
    assert metrics_url.startswith("http://127.0.0.1:")


def test_scrapes_see_what_the_api_answered(apart: Server) -> None:
    before = scrape(apart)
    assert apart.post("/predict", SAMPLE).status_code == 200
    after = scrape(apart)
    counted = {"endpoint": "/predict", "status_code": "200"}
    assert value(after, "api_requests_total", **counted) == value(before, "api_requests_total", **counted) + 1
    assert value(after, "predictions_total") == value(before, "predictions_total") + 1


def test_openmetrics_is_served_there_too(metrics_url: str) -> None:
    response = requests.get(
        f"{metrics_url}/metrics", headers={"Accept": "application/openmetrics-text"}, timeout=10
    )
    assert response.headers["content-type"].startswith("application/openmetrics-text")
    assert response.text.endswith("# EOF\n")


@pytest.mark.parametrize("path", ["/metrics", "/metrics/", "//metrics", "/metrics?name[]=up", "/%6detrics"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_the_apis_port_has_no_metrics(apart: Server, metrics_url: str, method: str, path: str) -> None:
    port = metrics_url.rpartition(":")[2]
    for host in ("127.0.0.1", f"127.0.0.1:{port}"):
        response = requests.request(method, apart.url + path, headers={"Host": host}, timeout=10)
        assert response.status_code == 404
        if method != "HEAD":
            problem(response, 404, "NotFound")


def test_a_request_that_names_the_other_port_does_not_reach_it(apart: Server, metrics_url: str) -> None:
    head = b" HTTP/1.1\r\nHost: x\r\nX-Forwarded-Port: %s\r\nConnection: close\r\n\r\n"
    port = metrics_url.rpartition(":")[2].encode()
    answer = raw_exchange(apart.port, b"GET " + metrics_url.encode() + b"/metrics" + head % port)
    assert answer.startswith(b"HTTP/1.1 404 ")


def test_metrics_on_the_apis_port_count_and_log_as_an_unknown_path(apart: Server) -> None:
    unmatched = {"endpoint": "unmatched", "error_type": "NotFound"}
    before = value(scrape(apart), "api_errors_total", **unmatched)
    apart.get("/metrics", headers={"X-Request-ID": "looking-for-metrics"})
    (line,) = apart.requests_logged("looking-for-metrics")
    assert (line["level"], line["route"], line["status"]) == ("info", "unmatched", 404)
    assert value(scrape(apart), "api_errors_total", **unmatched) == before + 1


def test_neither_index_nor_documentation_lists_metrics(apart: Server) -> None:
    assert "metrics" not in apart.get("/").json()["links"]
    assert "/metrics" not in apart.get("/openapi.json").json()["paths"]


PATHS = [
    "/", "/docs", "/docs/swagger-ui.css", "/openapi.json", "/health", "/livez", "/readyz", "/startupz",
    "/models", "/models/heart-disease", "/models/heart-disease/card", "/predict", "/predict/batch",
    "/feedback", "/metrics/",
]  # fmt: skip


def test_the_metrics_port_answers_nothing_else(apart: Server, metrics_url: str) -> None:
    predicted = value(scrape(apart), "predictions_total")
    for path in PATHS:
        for body in (None, SAMPLE, {"instances": [SAMPLE]}):
            method = "POST" if body else "GET"
            response = requests.request(method, metrics_url + path, json=body, timeout=10)
            assert problem(response, 404, "NotFound")["detail"] == "This port answers GET /metrics alone."
    problem(requests.post(f"{metrics_url}/metrics", json=SAMPLE, timeout=10), 405, "MethodNotAllowed")
    assert value(scrape(apart), "predictions_total") == predicted


def test_neither_port_adds_series_or_active_requests(apart: Server, metrics_url: str) -> None:
    urls = [f"{url}/{path}" for url in (apart.url, metrics_url) for path in ("metrics", "elsewhere", "livez")]
    for url in urls:
        requests.get(url, timeout=10)
    before = set(scrape(apart))
    for url in urls:
        requests.get(f"{url}/x", timeout=10)
        requests.delete(url, timeout=10)
    after = scrape(apart)
    assert set(after) == before
    assert value(after, "active_requests") == 0
    scrapes = [json.loads(line) for line in list(apart.lines) if '"route":"/metrics"' in line]
    assert {line["level"] for line in scrapes} == {"debug"}


def test_workers_share_both_ports_and_drain_on_both(start: Callable[..., Server]) -> None:
    server = start(METRICS_PORT=str(free_port()), WORKERS="2", DRAIN_SECONDS="4")
    eventually(lambda: sum('"listening"' in line for line in server.lines) == 2, "both workers listen")
    for _ in range(20):
        assert server.post("/predict", SAMPLE).status_code == 200
    for _ in range(5):
        assert value(scrape(server), "predictions_total") == 20
    server.process.send_signal(signal.SIGTERM)
    eventually(lambda: server.get("/readyz").status_code == 503, "readiness turns")
    url = listening(server)["metrics"]
    eventually(
        lambda: requests.get(url, timeout=5).headers.get("connection") == "close", "scrapes are turned away"
    )
    assert server.wait() == 0
    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=5)


def test_a_metrics_port_in_use_is_reported(apart: Server) -> None:
    code, said = refused_start(METRICS_PORT=str(apart.port))
    assert code == 1
    assert said.startswith(f"error: cannot listen on 127.0.0.1 port {apart.port} (Address already in use")
    assert "set METRICS_PORT" in said


def test_uvicorn_alone_rejects_a_metrics_port() -> None:
    code, said = refused_start("-m", "uvicorn", "api_server:app", METRICS_PORT=str(free_port()))
    assert code == 1
    assert said.startswith("error: METRICS_PORT needs python api_server.py")
    assert "\n" not in said


def test_the_retraining_endpoint_has_a_metrics_port_too(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text(
        '{"kind":"Job","metadata":{"name":"a","namespace":"b"}}', encoding="utf-8"
    )
    (tmp_path / "key").write_text(KEY, encoding="utf-8")
    files = {"RETRAIN_JOB": str(tmp_path / "job.json"), "RETRAIN_KEY": str(tmp_path / "key")}
    command = [sys.executable, "-m", "retrain_api"]
    server = Server(files | {"METRICS_PORT": "0", "DRAIN_SECONDS": "0"}, command).wait_until_ready()
    problem(server.get("/metrics"), 404, "NotFound")
    assert value(scrape(server), "api_requests_total", endpoint="/readyz") >= 1
    url = listening(server)["metrics"].removesuffix("/metrics")
    problem(requests.post(f"{url}/models/heart-disease/retrain", timeout=10), 404, "NotFound")
    assert server.stop() == 0
