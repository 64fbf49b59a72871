"""A real Prometheus scrapes the API compressed, and keeps the trace ids of its durations."""

from pathlib import Path
from urllib.parse import urlencode

import requests

from bench.prometheus import Prometheus
from tests.harness import SAMPLE, Server, eventually

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def test_prometheus_keeps_exemplars(tmp_path: Path) -> None:
    server = Server({"DRAIN_SECONDS": "0"}).wait_until_ready()
    target = {"targets": [server.url.removeprefix("http://")]}
    config = {"scrape_configs": [{"job_name": "api", "scrape_interval": "1s", "static_configs": [target]}]}
    traced = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
    assert server.post("/predict", SAMPLE, headers=traced).status_code == 200
    with Prometheus(tmp_path, config, "--enable-feature=exemplar-storage") as prometheus:

        def kept() -> list[dict[str, str]]:
            query = {"query": "api_request_duration_seconds_bucket", "start": "0", "end": "4000000000"}
            url = f"{prometheus.url}/api/v1/query_exemplars?{urlencode(query)}"
            series = requests.get(url, timeout=10).json()["data"]
            return [found["labels"] for labelled in series for found in labelled["exemplars"]]

        assert eventually(kept, "the exemplar is kept") == [{"trace_id": TRACE}]
        assert prometheus.query("up") == [
            ({"__name__": "up", "instance": target["targets"][0], "job": "api"}, 1)
        ]
    server.stop()
