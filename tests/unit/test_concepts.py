"""The table of concepts: what declarations may name, and what the code may record."""

import pytest
from prometheus_client import CollectorRegistry

from bundle.concepts import CONCEPTS, MODEL_LOADED, NAMEABLE, REQUESTS, check_metrics
from bundle.declaration import Declaration, MetricName
from bundle.errors import BundleError
from monitoring.dashboards.reference import PAGE, reference, replaced
from serving.metrics.vocabulary import Vocabulary


def declaring(declaration: Declaration, concept: str, **labels: str) -> Declaration:
    return declaration.model_copy(update={"metrics": {concept: MetricName(name="some", labels=labels)}})


def test_each_concept_has_one_name() -> None:
    names = [concept.name for concept in CONCEPTS]
    common = [concept.common for concept in CONCEPTS if concept.common]
    assert len(set(names)) == len(names)
    assert len(set(common)) == len(common)


def test_counters_end_in_total_and_nothing_else_does() -> None:
    for concept in (concept for concept in CONCEPTS if concept.common):
        assert concept.common.endswith("_total") == (concept.kind == "counter"), concept.name


@pytest.mark.parametrize("concept", ["karma", "feature_values"])
def test_a_declaration_may_not_name_an_unknown_concept(declaration: Declaration, concept: str) -> None:
    with pytest.raises(BundleError, match=rf"metrics\.{concept} is none of requests, request_duration, "):
        check_metrics(declaring(declaration, concept))


def test_a_declaration_may_not_name_an_unknown_dimension(declaration: Declaration) -> None:
    wrong = declaring(declaration, "requests", code="colour")
    with pytest.raises(
        BundleError, match=r"metrics\.requests has only method, endpoint, status, not 'colour'"
    ):
        check_metrics(wrong)
    with pytest.raises(BundleError, match="not 'colour'"):
        Vocabulary(CollectorRegistry()).gauge(wrong, NAMEABLE["active_requests"])


def test_a_recorder_has_the_concepts_kind_and_dimensions(declaration: Declaration) -> None:
    vocabulary = Vocabulary(CollectorRegistry())
    with pytest.raises(ValueError, match="requests is a counter with dimensions"):
        vocabulary.gauge(declaration, REQUESTS, method="GET", endpoint="/", status="200")
    with pytest.raises(ValueError, match="model_loaded is a gauge with dimensions"):
        vocabulary.gauge(declaration, MODEL_LOADED, model="a")


def test_the_page_has_the_tables_of_the_code() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference()


def test_a_page_without_markers_is_not_written() -> None:
    with pytest.raises(
        ValueError, match=r"needs the lines '<!-- concepts: written by `make dashboards` -->'"
    ):
        replaced("no markers", "concepts", [])
