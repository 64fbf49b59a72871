"""/metrics shows the names and labels of each system's page, exactly, and does not grow."""

import json
import random
import string
from collections.abc import Callable

import pytest
import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from bundle.encoding import MOST_ERRORS
from tests.harness import HEART, Series, Server, eventually
from tests.systems import Page, System

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


def names_and_labels(series: Series, page: Page) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, labels in series:
        base = name
        for suffix in ("_bucket", "_sum", "_count"):
            if name.removesuffix(suffix) in page:
                base = name.removesuffix(suffix)
        found.setdefault(base, set()).update(label for label, _ in labels if label != "le")
    return found


def test_names_and_labels_are_those_of_the_page_before_any_traffic(fresh: Server, system: System) -> None:
    found = names_and_labels(fresh.metrics(), system.page)
    assert set(found) - STANDARD == set(system.page)
    for name, (required, allowed) in system.page.items():
        assert required <= found[name] <= required | allowed, name


COUNTING = {"requests", "errors", "predictions", "prediction_duration", "confidence", "request_duration"}


def test_every_declared_series_starts_at_zero(fresh: Server, system: System) -> None:
    series = fresh.metrics()
    probes = {"/readyz", "/metrics"}  # the harness waits for readiness and reads the metrics
    counting = tuple(
        named.name for concept, named in system.declaration.metrics.items() if concept in COUNTING
    )
    for (name, labels), value in series.items():
        if name.startswith(counting) and dict(labels).get("endpoint") not in probes:
            assert value == 0, (name, labels)
    for status in ("200", "400", "408", "413", "415", "422", "429", "500", "503"):
        assert fresh.shows(0, "requests", endpoint="/predict", method="POST", status=status)
    for error_type in ERROR_TYPES - {"NotFound", "MethodNotAllowed"}:
        assert fresh.shows(0, "errors", endpoint="/predict", error_type=error_type)
    for label in system.declaration.labels:
        assert fresh.shows(0, "predictions", result=label, version=system.version)
    assert fresh.shows(1, "model_loaded", version=system.version)
    assert fresh.shows(1, "app_info", service=system.declaration.service)
    manifest = system.manifest
    assert fresh.shows(
        1, "model_info", estimator=manifest.estimator.name, estimator_type=manifest.estimator.type
    )
    assert fresh.shows(manifest.evaluation.metrics["accuracy"].value, "accuracy")


@pytest.mark.heart
def test_buckets_include_the_objectives(fresh: Server) -> None:
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


def test_traffic_is_counted_exactly(fresh: Server, system: System) -> None:
    first, *_, last = system.declaration.labels
    first_row, last_row = system.row_of(first), system.row_of(last)
    for _ in range(3):
        assert fresh.post("/predict", first_row).json()["label"] == first
    assert fresh.post("/predict", last_row).json()["label"] == last
    fresh.post("/predict/batch", {"instances": [first_row] * 4 + [last_row] * 6})
    fresh.post("/predict", {})
    fresh.post("/predict", data=b"{", headers={"Content-Type": "application/json"})
    fresh.get("/health")

    main = {"version": system.version}
    assert fresh.shows(7, "predictions", result=first, outcome="success", **main)
    assert fresh.shows(7, "predictions", result=last, outcome="success", **main)
    if system.counts_failures:
        assert fresh.shows(2, "predictions", result="error", outcome="error", **main)
    assert fresh.shows(7, "model_requests", **main)
    assert fresh.shows(2, "model_errors", **main)
    assert fresh.shows(5, "prediction_duration", "_count", **main)
    assert fresh.shows(7, "confidence", "_count", result=last)
    assert fresh.shows(4, "requests", endpoint="/predict", status="200")
    assert fresh.shows(1, "requests", endpoint="/predict", status="422")
    assert fresh.shows(1, "requests", endpoint="/predict/batch", status="200")
    assert fresh.shows(4, "request_duration", "_count", endpoint="/predict", method="POST")
    assert fresh.shows(1, "errors", error_type="ValidationError", endpoint="/predict")
    assert fresh.shows(1, "errors", error_type="MalformedBody", endpoint="/predict")
    assert fresh.shows(1, "requests", endpoint="/health", status="200")
    assert fresh.shows(0, "active_requests")


def test_probes_and_scrapes_are_counted_and_not_timed(fresh: Server, system: System) -> None:
    counted = "requests" in system.declaration.metrics
    for path in ("/livez", "/readyz", "/startupz", "/metrics"):
        fresh.get(path)
        assert not fresh.shows(0, "requests", endpoint=path, method="GET", status="200") or not counted
        assert not [
            labels for name, labels in fresh.metrics() if "duration" in name and ("endpoint", path) in labels
        ]


def test_random_paths_and_methods_add_no_series(fresh: Server, system: System) -> None:
    paths = ("/predict", "/predict/batch", "/", "/metrics", "/models", "/models/x", "/elsewhere")
    fresh.get("/nothing")
    requests.delete(f"{fresh.url}/predict", timeout=10)
    for path in paths:  # a HEAD request is counted as such, with its route
        requests.head(fresh.url + path, timeout=10)
    before = set(fresh.metrics())
    letters = random.Random(0)
    with requests.Session() as session:
        for _ in range(500):
            path = "".join(letters.choices(string.ascii_letters + "/%.", k=letters.randint(1, 40)))
            session.get(f"{fresh.url}/{path.replace('%', '%25')}", timeout=10)
        for method in METHODS:
            for path in paths:
                session.request(method, fresh.url + path, timeout=10)
    after = fresh.metrics()
    new = {(name, labels) for name, labels in set(after) - before}
    # a declared route may show a declared answer for the first time, and nothing else
    assert not new
    assert len(after) <= system.most_series
    methods = {dict(labels).get("method", "GET") for _, labels in after}
    assert methods <= {"GET", "HEAD", "POST", "other"}


def by_feature(server: Server, name: str, **labels: str) -> dict[str, float]:
    """Return the sum of a metric's series for each feature, where it is not 0."""
    sums: dict[str, float] = {}
    for (metric, series_labels), value in server.metrics().items():
        if metric == name and value and set(labels.items()) <= series_labels:
            sums[dict(series_labels)["feature"]] = sums.get(dict(series_labels)["feature"], 0) + value
    return sums


def test_every_answered_value_is_counted_and_no_other(fresh: Server, system: System) -> None:
    predict_a_hundred_rows(fresh, system)
    expect_a_hundred_rows(fresh, system)


@pytest.mark.heart
def test_workers_count_together(start: Callable[..., Server], system: System) -> None:
    server = start(WORKERS="2")
    predict_a_hundred_rows(server, system)
    every = dict.fromkeys([*system.declaration.feature_names, "score"], 100)
    eventually(lambda: by_feature(server, "feature_values_total") == every, "both have counted", 5)
    expect_a_hundred_rows(server, system)


def predict_a_hundred_rows(server: Server, system: System) -> None:
    """Predict a hundred rows, and send others that are rejected."""
    number = system.number
    for _ in range(5):
        server.post("/predict", system.sample)
    server.post("/predict/batch", {"instances": [system.sample] * 95})
    rejected = system.sample | {number.name: number.accepted[1] + 1}
    server.post("/predict", rejected)
    server.post("/predict/batch", {"instances": [system.sample, rejected, rejected]})
    server.post("/predict", {})
    server.post("/predict", [1] if not system.declaration.routes.lists else 1)
    server.post("/predict", system.sample | {"unheard of": 1})


def expect_a_hundred_rows(server: Server, system: System) -> None:
    main, number = {"model": system.name, "model_version": system.version}, system.number
    every = dict.fromkeys([*system.declaration.feature_names, "score"], 100)
    assert by_feature(server, "feature_values_total", **main) == every
    missing = dict.fromkeys(system.declaration.feature_names[:MOST_ERRORS], 1)
    assert by_feature(server, "feature_rejected_total", **main) == missing | {number.name: 4}
    assert not by_feature(server, "feature_out_of_range_total", **main)
    server.post("/predict", system.sample | {number.name: number.accepted[1]})
    assert by_feature(server, "feature_out_of_range_total", **main) == {number.name: 1}


def test_the_reference_distribution_is_exposed_beside_the_counts(server: Server, system: System) -> None:
    main = {"model": system.name, "model_version": system.version}
    every = [*system.declaration.feature_names, "score"]
    shares = by_feature(server, "feature_reference_share", **main)
    assert shares == {feature: pytest.approx(1) for feature in every}
    assert server.metric("feature_reference_rows", **main) == system.manifest.data.rows
    for bins, quantile in system.manifest.chi_square.items():
        assert server.metric("feature_chi_square_quantile", bins=str(bins), **main) == quantile


def test_the_bundle_of_a_served_version_is_exposed(server: Server, system: System) -> None:
    main = {"model": system.name, "model_version": system.version}
    assert server.metric("served_bundle_info", **main, bundle_sha256=system.manifest.sha256) == 1


@pytest.mark.heart
def test_labels_come_from_closed_sets(server: Server) -> None:
    series = server.metrics()
    types = {dict(labels)["error_type"] for name, labels in series if name == "api_errors_total"}
    of_connections = {"HeadTooLarge", "MalformedRequest"}
    assert types <= ERROR_TYPES | of_connections | {"OtherSite"}  # the last of a form, and not of the API
    endpoints = {dict(labels)["endpoint"] for name, labels in series if name == "api_requests_total"}
    documented = set(server.get("/openapi.json").json()["paths"])
    console = {
        f"/console/{page}" for page in ("predict", "table", "download", "live", "models", "static/{file}")
    }
    console |= {"/console", "/console/"}  # which lead on
    pages = {"/docs", "/docs/{asset}", "/openapi.json", "/runbooks", "/runbooks/{alert}"}
    assert endpoints - documented == {"unmatched"} | pages | console
    assert not [name for name, _ in series if name.endswith("_created")]


def test_openmetrics_is_served_on_request(server: Server, system: System) -> None:
    response = server.get(
        "/metrics", headers={"Accept": "application/openmetrics-text;version=1.0.0;q=0.9,*/*;q=0.1"}
    )
    assert response.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    families = {family.name: family.type for family in parse_openmetrics(response.text)}
    for concept, kind in (("requests", "counter"), ("model_requests", "counter"), ("model_loaded", "gauge")):
        if named := system.declaration.metrics.get(concept):
            assert families[named.name.removesuffix("_total")] == kind
    text = server.get("/metrics", headers={"Accept": "text/plain"})
    assert text.headers["content-type"].startswith("text/plain; version=")


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(name=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=30))
def test_names_of_models_are_not_labels(server: Server, name: str) -> None:
    server.get(f"/models/{name}")
    assert not [labels for _, labels in server.metrics() if ("endpoint", f"/models/{name}") in labels]


@pytest.mark.heart
def test_expected_shares_and_confidence_are_the_bundles(fresh: Server, start: Callable[..., Server]) -> None:
    bundle = json.loads((HEART / "v1" / "bundle.json").read_text(encoding="utf-8"))
    expectation = bundle["evaluation"]["expectation"]
    for label, share in expectation["shares"].items():
        assert fresh.metric("prediction_expected_share", prediction_result=label) == share
    assert fresh.metric("prediction_expected_confidence") == expectation["confidence"]
    other = start(THRESHOLD="0.3").metrics()
    assert not [name for name, _ in other if name.startswith("prediction_expected")]
