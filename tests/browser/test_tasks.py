"""What a clinician, an engineer and an operator want to know, each found in at most eight actions."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from bench.prometheus import PROGRAMS, Prometheus
from bundle.declaration import load_declaration
from tests.browser.conftest import Visit
from tests.harness import HEART, PROJECT, SAMPLE, Server, eventually, free_port

MOST_ACTIONS = 8
RULES = PROJECT / "monitoring" / "rules" / "heart-disease-api.yaml"
with_prometheus = pytest.mark.skipif(
    not (PROGRAMS / "prometheus").exists(), reason="needs Prometheus: `make test-programs` builds it"
)


class Visitor:
    """Does one thing at a time, and counts."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self.actions = 1  # opened the address

    def clicks(self, name: str, role: str = "button") -> None:
        self.actions += 1
        self._page.get_by_role(role, name=name, exact=True).click()  # type: ignore[arg-type]

    def fills(self, label: str, value: str) -> None:
        self.actions += 1
        self._page.get_by_label(label).fill(value)

    def chooses(self, label: str, option: str) -> None:
        self.actions += 1
        self._page.get_by_label(label).select_option(option)

    def reads(self, where: str) -> Locator:
        self.actions += 1
        return self._page.locator(where).first


@pytest.fixture
def operator(server: Server, visit: Visit) -> Iterator[Visitor]:
    """A visitor of a server that has answered predictions, one of them with an error."""
    for _ in range(2):
        server.post("/predict", {})
        server.post("/predict", load_declaration(HEART).example)
    eventually(lambda: "ValidationError" in server.get("/console/live").text, "the page knows the error")
    visitor = Visitor(visit(server.url))
    yield visitor
    assert visitor.actions <= MOST_ACTIONS


engineer = operator


@pytest.fixture
def drifted(folder: Path, visit: Visit) -> Iterator[Visitor]:
    """A visitor of a server that patients of 77 years alone have asked."""
    server = Server({"MODEL": "heart-disease", "MODELS_DIR": str(folder)}).wait_until_ready()
    row = load_declaration(HEART).example
    eventually(lambda: "Only Prometheus knows" in server.get("/console/live").text, "it has two moments")
    assert server.post("/predict/batch", {"instances": [row | {"age": 77}] * 400}).status_code == 200
    eventually(lambda: known(server) > 0.9, "the page knows the drift")
    visitor = Visitor(visit(server.url))
    yield visitor
    assert visitor.actions <= MOST_ACTIONS
    server.stop()


def known(server: Server) -> float:
    """Return the share of the oldest patients that the page shows."""
    page = server.get("/console/live?feature=age").text
    found = re.search(r'&gt; 62</bdi></th><td class="number"><data value="([0-9.e-]+)"', page)
    return float(found[1]) if found else 0.0


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The first of two replicas, of which the second fails, and of which Prometheus and its rules know."""
    ports = [free_port(), free_port()]
    with ExitStack() as ends:
        prometheus = ends.enter_context(Prometheus(tmp_path_factory.mktemp("release"), scraping(ports)))
        settings = {
            "MODEL": "heart-disease",
            "PROMETHEUS_URL": prometheus.url,
            "PROMETHEUS_LABELS": 'namespace="mlops", job="heart"',
        }
        faults: tuple[dict[str, str], ...] = ({}, {"FAULT_ERROR_RATE": "1"})
        servers = []
        for port, fault in zip(ports, faults, strict=True):
            servers.append(Server(settings | fault | {"PORT": str(port)}))
            ends.callback(servers[-1].stop)
        for server in servers:
            server.wait_until_ready()

        def seen() -> bool:
            statuses = [server.post("/predict", SAMPLE).status_code for server in servers]
            assert statuses == [200, 500]
            page = servers[0].get("/console/live").text
            return "pod-1 500" in page and "pod-0 200" in page and "firing" in page

        eventually(seen, "the page shows both pods and the alert")
        yield servers[0]


def scraping(ports: list[int]) -> dict[str, Any]:
    """Return what Prometheus is told of replicas that are called pod-0 and so on."""
    targets = [
        {
            "targets": [f"127.0.0.1:{port}"],
            "labels": {"namespace": "mlops", "pod": f"pod-{place}", "app": "heart-disease-api"},
        }
        for place, port in enumerate(ports)
    ]
    return {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [{"job_name": "heart", "static_configs": targets}],
    }


@pytest.fixture
def on_call(release: Server, visit: Visit) -> Iterator[Visitor]:
    """A visitor of a release with an alert."""
    visitor = Visitor(visit(release.url))
    yield visitor
    assert visitor.actions <= MOST_ACTIONS


@pytest.fixture
def clinician(server: Server, visit: Visit) -> Iterator[Visitor]:
    visitor = Visitor(visit(server.url))
    yield visitor
    assert visitor.actions <= MOST_ACTIONS


def test_why_is_this_patient_above_the_threshold(clinician: Visitor) -> None:
    clinician.clicks("made-up row 1", "link")
    clinician.clicks("Predict")
    expect(clinician.reads("#result")).to_contain_text("at or above the threshold of 50 %")
    expect(clinician.reads(".contributions tbody tr:nth-child(2)")).to_contain_text(
        "Major vessels coloured by fluoroscopy"
    )


def test_what_if_the_vessels_had_been_clear(clinician: Visitor) -> None:
    clinician.clicks("made-up row 1", "link")
    clinician.fills("Major vessels coloured by fluoroscopy ca", "0")
    clinician.clicks("Predict")
    expect(clinician.reads("#result")).to_contain_text("Predicted class")
    expect(clinician.reads(".contributions")).to_contain_text("0 vessels")


def test_is_a_value_in_another_unit_read_right(clinician: Visitor) -> None:
    clinician.clicks("the example", "link")
    clinician.fills("Serum cholesterol chol", "6")
    clinician.chooses("Unit of Serum cholesterol", "mmol/l")
    expect(clinician.reads("#converted-chol")).to_have_text("= 232 mg/dl")


def test_how_many_patients_with_disease_does_the_model_miss(clinician: Visitor) -> None:
    clinician.clicks("Models", "link")
    row = clinician.reads("tr:has-text('False negative rate')")
    expect(row).to_contain_text("0.211")
    expect(row).to_contain_text("0.145 to 0.272")


def test_is_an_alert_firing_and_what_do_i_do(operator: Visitor) -> None:
    operator.clicks("Live", "link")
    expect(operator.reads("#active-alerts")).to_contain_text("set PROMETHEUS_URL to see it")
    operator.clicks("Runbook: ApiErrorBurst", "link")
    expect(operator.reads("main, body")).to_contain_text("Mitigation")


@with_prometheus
def test_which_replica_fails(on_call: Visitor) -> None:
    on_call.clicks("Live", "link")
    expect(on_call.reads("#requests-by-pod tbody tr:has-text('500')")).to_contain_text("pod-1")
    expect(on_call.reads("#requests-by-pod tbody tr:has-text('pod-0')")).to_contain_text("200")


@with_prometheus
def test_an_alert_is_firing_and_what_do_i_do(on_call: Visitor) -> None:
    on_call.clicks("Live", "link")
    expect(on_call.reads("#active-alerts tbody tr:has-text('ApiErrorBurst')")).to_contain_text("firing")
    on_call.clicks("ApiErrorBurst what it means and what to do", "link")
    expect(on_call.reads("h1")).to_have_text("ApiErrorBurst")
    expect(on_call.reads("main, body")).to_contain_text("Mitigation")


def test_which_feature_drifted_most_and_how(drifted: Visitor) -> None:
    drifted.clicks("Live", "link")
    expect(drifted.reads("#drift-by-feature tr:has-text('age v1')").get_by_role("img")).to_have_attribute(
        "aria-label", "red"
    )
    drifted.clicks("age v1", "link")
    row = drifted.reads("#values-against-training tr:has-text('> 62')")
    expect(row).to_contain_text(re.compile("9[0-9.]+%|100%"))
    expect(row).to_contain_text("19.8%")


def test_which_errors_do_clients_get(operator: Visitor) -> None:
    operator.clicks("Live", "link")
    expect(operator.reads("#error-rate tbody tr:has-text('ValidationError')")).to_contain_text("/predict")


def test_how_slow_is_the_slowest_hundredth_of_predictions(operator: Visitor) -> None:
    operator.clicks("Live", "link")
    row = operator.reads("#request-duration-of-predictions tr:has-text('p99')")
    expect(row).to_contain_text(re.compile(r"[0-9] (µs|ms|s)"))


def test_what_share_is_positive_and_what_was_expected(engineer: Visitor) -> None:
    engineer.clicks("Live", "link")
    panel = "#share-of-predictions-against-expectation"
    expect(engineer.reads(f"{panel} tr:has-text('v1 disease'):not(:has-text('expected'))")).to_contain_text(
        "%"
    )
    expect(engineer.reads(f"{panel} tr:has-text('v1 disease expected')")).to_contain_text("41.6%")


def test_how_sure_is_the_model_of_its_classes(engineer: Visitor) -> None:
    engineer.clicks("Live", "link")
    chart = engineer.reads("#prediction-confidence-distribution .chart")
    expect(chart).to_have_attribute("aria-label", re.compile("most are 0.[0-9]+ to [01]"))


def test_which_version_is_served_and_how_good_is_it(engineer: Visitor) -> None:
    engineer.clicks("Live", "link")
    expect(engineer.reads("#model-status")).to_contain_text("loaded")
    engineer.clicks("Models", "link")
    expect(engineer.reads("article .version")).to_have_text("v1")
    expect(engineer.reads("tr:has-text('Area under the ROC curve')")).to_contain_text(" to ")
