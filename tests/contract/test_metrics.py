"""/metrics shows the names and labels of the heart system's page, exactly, and does not grow."""

import json
import random
import string
from collections.abc import Callable

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from tests.harness import HEART, SAMPLE, Series, Server

# name -> labels that must be there, and labels that may be
PAGE = {
    "api_requests_total": ({"method", "endpoint", "status_code"}, set()),
    "predictions_total": ({"prediction_result", "model_name"}, {"model_version"}),
    "api_errors_total": ({"error_type", "endpoint"}, set()),
    "api_request_duration_seconds": ({"method", "endpoint"}, set()),
    "prediction_duration_seconds": (set(), {"model_version"}),
    "prediction_confidence_score": ({"prediction_result"}, {"model_version"}),
    "active_requests": (set(), set()),
    "model_loaded": (set(), {"model_version"}),
    "model_info": ({"model_name", "model_type", "path"}, {"model_version"}),
}
EXPECTATION: dict[str, tuple[set[str], set[str]]] = {
    "prediction_expected_share": ({"prediction_result", "model_version"}, set()),
    "prediction_expected_confidence": ({"model_version"}, set()),
}
ERROR_TYPES = {
    "ValidationError", "MalformedBody", "PayloadTooLarge", "UnsupportedMediaType", "NotFound",
    "MethodNotAllowed", "Timeout", "Overloaded", "ModelNotLoaded", "InternalError",
}  # fmt: skip
STANDARD = {
    "process_virtual_memory_bytes", "process_resident_memory_bytes", "process_start_time_seconds",
    "process_cpu_seconds_total", "process_open_fds", "process_max_fds",
}  # fmt: skip
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "SEARCH", "LOCK")


@pytest.fixture
def fresh(start: Callable[..., Server]) -> Server:
    return start()


def names_and_labels(series: Series) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, labels in series:
        base = name
        for suffix in ("_bucket", "_sum", "_count"):
            if name.removesuffix(suffix) in PAGE:
                base = name.removesuffix(suffix)
        found.setdefault(base, set()).update(label for label, _ in labels if label != "le")
    return found


def test_names_and_labels_are_those_of_the_page_before_any_traffic(fresh: Server) -> None:
    found = names_and_labels(fresh.metrics())
    assert set(found) - STANDARD == set(PAGE | EXPECTATION)
    for name, (required, allowed) in (PAGE | EXPECTATION).items():
        assert required <= found[name] <= required | allowed, name


def test_everything_declared_is_there_at_zero(fresh: Server) -> None:
    series = fresh.metrics()
    probes = {"/readyz", "/metrics"}  # the harness waits for readiness and reads the metrics
    for (name, labels), value in series.items():
        if (
            name not in STANDARD | set(EXPECTATION) | {"model_loaded", "model_info"}
            and dict(labels).get("endpoint") not in probes
        ):
            assert value == 0, (name, labels)
    for status in ("200", "400", "408", "413", "415", "422", "429", "500", "503"):
        assert fresh.metric("api_requests_total", endpoint="/predict", method="POST", status_code=status) == 0
    for error_type in ERROR_TYPES - {"NotFound", "MethodNotAllowed"}:
        assert fresh.metric("api_errors_total", endpoint="/predict", error_type=error_type) == 0
    for result in ("disease", "no_disease"):
        assert (
            fresh.metric("predictions_total", prediction_result=result, model_name="logistic_regression") == 0
        )
    assert fresh.metric("model_loaded") == 1
    assert fresh.metric("model_info", model_name="logistic_regression", model_type="LogisticRegression") == 1


def test_buckets_hold_the_objectives(fresh: Server) -> None:
    bounds = {
        dict(labels)["le"]
        for (name, labels) in fresh.metrics()
        if name == "api_request_duration_seconds_bucket"
    }
    assert {"0.0001", "0.25", "0.5"} <= bounds
    confidence = {
        dict(labels)["le"]
        for (name, labels) in fresh.metrics()
        if name == "prediction_confidence_score_bucket"
    }
    expected = {f"{0.5 + 0.05 * step:.2f}".rstrip("0") for step in range(10)} | {"1.0", "+Inf"}
    assert confidence == expected


def test_traffic_is_counted_exactly(fresh: Server) -> None:
    sick = SAMPLE | {"cp": 0, "ca": 3, "thal": 3, "exang": 1, "oldpeak": 4.0}
    for _ in range(3):
        assert fresh.post("/predict", SAMPLE).json()["label"] == "no_disease"
    assert fresh.post("/predict", sick).json()["label"] == "disease"
    fresh.post("/predict/batch", {"instances": [SAMPLE] * 4 + [sick] * 6})
    fresh.post("/predict", {})
    fresh.post("/predict", data=b"{", headers={"Content-Type": "application/json"})
    fresh.get("/health")

    count = fresh.metric
    assert count("predictions_total", prediction_result="no_disease") == 7
    assert count("predictions_total", prediction_result="disease") == 7
    assert count("prediction_duration_seconds_count") == 5
    assert count("prediction_confidence_score_count", prediction_result="disease") == 7
    assert count("api_requests_total", endpoint="/predict", status_code="200") == 4
    assert count("api_requests_total", endpoint="/predict", status_code="422") == 1
    assert count("api_requests_total", endpoint="/predict/batch", status_code="200") == 1
    assert count("api_request_duration_seconds_count", endpoint="/predict", method="POST") == 6
    assert count("api_errors_total", error_type="ValidationError", endpoint="/predict") == 1
    assert count("api_errors_total", error_type="MalformedBody", endpoint="/predict") == 1
    assert count("api_requests_total", endpoint="/health", status_code="200") == 1
    assert count("active_requests") == 0


def test_probes_and_scrapes_are_counted_and_not_timed(fresh: Server) -> None:
    for path in ("/livez", "/readyz", "/startupz", "/metrics"):
        fresh.get(path)
        assert fresh.metric("api_requests_total", endpoint=path, method="GET", status_code="200") >= 1
        assert not [
            labels for name, labels in fresh.metrics() if "duration" in name and ("endpoint", path) in labels
        ]


def test_random_paths_and_methods_add_no_series(fresh: Server) -> None:
    fresh.get("/nothing")
    requests.delete(f"{fresh.url}/predict", timeout=10)
    before = set(fresh.metrics())
    letters = random.Random(0)
    with requests.Session() as session:
        for _ in range(500):
            path = "".join(letters.choices(string.ascii_letters + "/%.", k=letters.randint(1, 40)))
            session.get(f"{fresh.url}/{path.replace('%', '%25')}", timeout=10)
        for method in METHODS:
            for path in ("/predict", "/predict/batch", "/", "/metrics", "/models", "/models/x", "/elsewhere"):
                session.request(method, fresh.url + path, timeout=10)
    after = fresh.metrics()
    new = {(name, labels) for name, labels in set(after) - before}
    # a declared route may show a declared answer for the first time, and nothing else
    assert not new
    assert len(after) <= 400
    assert fresh.metric("api_requests_total", endpoint="unmatched") > 500
    methods = {dict(labels).get("method", "GET") for _, labels in after}
    assert methods <= {"GET", "POST", "other"}


def test_labels_come_from_closed_sets(server: Server) -> None:
    series = server.metrics()
    types = {dict(labels)["error_type"] for name, labels in series if name == "api_errors_total"}
    assert types <= ERROR_TYPES
    endpoints = {dict(labels)["endpoint"] for name, labels in series if name == "api_requests_total"}
    documented = set(server.get("/openapi.json").json()["paths"])
    assert endpoints - documented == {"/docs", "/docs/{asset}", "/openapi.json", "unmatched"}
    assert not [name for name, _ in series if name.endswith("_created")]


def test_openmetrics_is_given_where_it_is_asked_for(server: Server) -> None:
    response = server.get(
        "/metrics", headers={"Accept": "application/openmetrics-text;version=1.0.0;q=0.9,*/*;q=0.1"}
    )
    assert response.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    families = {family.name: family.type for family in parse_openmetrics(response.text)}
    assert families["api_requests"] == "counter"
    assert families["model_loaded"] == "gauge"
    text = server.get("/metrics", headers={"Accept": "text/plain"})
    assert text.headers["content-type"].startswith("text/plain; version=")


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(name=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=30))
def test_names_of_models_are_not_labels(server: Server, name: str) -> None:
    server.get(f"/models/{name}")
    assert not [labels for _, labels in server.metrics() if ("endpoint", f"/models/{name}") in labels]


def test_expected_shares_and_confidence_are_the_bundles(fresh: Server, start: Callable[..., Server]) -> None:
    bundle = json.loads((HEART / "v1" / "bundle.json").read_text(encoding="utf-8"))
    expectation = bundle["evaluation"]["expectation"]
    for label, share in expectation["shares"].items():
        assert fresh.metric("prediction_expected_share", prediction_result=label) == share
    assert fresh.metric("prediction_expected_confidence") == expectation["confidence"]
    other = start(THRESHOLD="0.3").metrics()
    assert not [name for name, _ in other if name.startswith("prediction_expected")]
