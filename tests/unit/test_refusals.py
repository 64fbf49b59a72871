"""What connections answer by themselves names the public path, and pages of other origins can read it."""

import json
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from serving.app import create_app
from serving.settings import Settings

APP = "https://app.example.org"


@pytest.mark.parametrize("path", ["/predict/batch", "/api/predict/batch"])
def test_a_shed_prediction_is_answered_as_others_are(path: str) -> None:
    registry = CollectorRegistry()
    app = create_app(Settings(root_path="/api", cors_origins=(APP,)), registry)
    scope: dict[str, Any] = {"path": path, "headers": [(b"origin", APP.encode())]}
    head, _, content = app.state.refusals.shed(scope, close=True).partition(b"\r\n\r\n")
    lines = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    assert head.startswith(b"HTTP/1.1 429 ")
    assert int(lines["content-length"]) == len(content)
    assert lines["access-control-allow-origin"] == APP
    assert json.loads(content)["instance"] == "/api/predict/batch"
    counted = {"method": "POST", "endpoint": "/predict/batch", "status_code": "429"}
    assert registry.get_sample_value("api_requests_total", counted) == 1
    assert app.state.refusals.shed({"path": "/elsewhere", "headers": []}, close=True) is None


def test_without_these_settings_nothing_is_added() -> None:
    app = create_app(Settings(), CollectorRegistry())
    scope: dict[str, Any] = {"path": "/predict", "headers": [(b"origin", APP.encode())]}
    head, _, content = app.state.refusals.shed(scope, close=False).partition(b"\r\n\r\n")
    assert b"access-control" not in head
    assert b"vary" not in head
    assert json.loads(content)["instance"] == "/predict"
    assert app.state.refusals.shed({"path": "/api/predict", "headers": []}, close=False) is None
