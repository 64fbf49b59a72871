"""The table of concepts: what declarations may name, and what the code may record."""

import tomllib
from functools import partial
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from bundle.concepts import CONCEPTS, MODEL_LOADED, NAMEABLE, REQUESTS, check_metrics
from bundle.declaration import Declaration, load_declaration
from bundle.errors import BundleError
from bundle.metric_names import DEFAULT_METRICS, MetricName
from serving.metrics.vocabulary import Vocabulary
from tests.systems import MODELS


def declaring(declaration: Declaration, concept: str, **labels: str) -> Declaration:
    return declaration.model_copy(update={"metrics": {concept: MetricName(name="some", labels=labels)}})


def own(name: str) -> Declaration:
    """Return a declaration of this name without [metrics]."""
    content = tomllib.loads((MODELS / "iris" / "model.toml").read_text(encoding="utf-8"))
    del content["metrics"]
    return Declaration.model_validate(content | {"name": name})


def record_everything(vocabulary: Vocabulary, declaration: Declaration) -> None:
    """Make every metric that a model has for itself."""
    for concept in (concept for concept in NAMEABLE.values() if "version" in concept.dimensions):
        make: Any = vocabulary.counter if concept.kind == "counter" else vocabulary.gauge
        if concept.kind == "histogram":
            make = partial(vocabulary.histogram, buckets=(1.0,))
        values = dict.fromkeys(concept.dimensions, "1") | {"model": declaration.name}
        make(declaration, concept, **values)(1)


def test_a_model_without_metrics_is_measured_under_the_default_names() -> None:
    declaration = own("credit")
    check_metrics(declaration)
    for concept, named in DEFAULT_METRICS.items():
        assert NAMEABLE[concept].name_in(declaration) == named
        counts = NAMEABLE[concept].kind == "counter"
        assert named.name.endswith("_total") == counts, concept
    assert not declaration.without_version
    assert not own("credit").model_copy(update={"metrics": {}}).metrics


def test_a_default_name_is_no_common_name_and_means_one_thing_in_all_vocabularies() -> None:
    assert not {concept.common for concept in CONCEPTS} & {named.name for named in DEFAULT_METRICS.values()}
    for folder in MODELS.glob("*/model.toml"):
        shipped = {
            named.name: (concept, named) for concept, named in load_declaration(folder.parent).metrics.items()
        }
        for concept, named in DEFAULT_METRICS.items():
            assert shipped.get(named.name, (concept, named)) == (concept, named)


def test_models_without_metrics_are_served_beside_each_other_and_beside_a_shipped_one() -> None:
    for shipped in (path.parent for path in MODELS.glob("*/model.toml")):
        vocabulary = Vocabulary(registry := CollectorRegistry())
        for declaration in (load_declaration(shipped), own("credit"), own("wine")):
            record_everything(vocabulary, declaration)
        for model in ("credit", "wine"):
            labels = {"model": model, "model_version": "1", "result": "1"}
            assert registry.get_sample_value("model_predictions_total", labels) == 1


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
