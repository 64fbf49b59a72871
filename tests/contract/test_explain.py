"""POST /predict?explain=true."""

from math import exp

import pytest

from tests.harness import Server, problem
from tests.systems import System


def test_an_explained_answer_is_the_answer_plus_its_contributions(server: Server, system: System) -> None:
    plain = server.post("/predict", system.sample, headers={"X-Request-ID": "same"}).json()
    explained = server.post("/predict?explain=true", system.sample, headers={"X-Request-ID": "same"}).json()
    explanation = explained.pop("explanation")
    assert explained == plain
    terms = explanation["contributions"]
    assert [term["feature"] for term in terms] == system.declaration.feature_names
    total = explanation["baseline"] + sum(term["contribution"] for term in terms)
    assert total == pytest.approx(explanation["log_odds"], abs=1e-4)
    of = plain["probability"] if system.declaration.binary else plain["probabilities"][explanation["of"]]
    against = 1 - of if system.declaration.binary else plain["probabilities"][explanation["against"]]
    assert exp(explanation["log_odds"]) == pytest.approx(of / against, rel=1e-3)
    assert explanation["of"] in explanation["sentence"]


def test_values_of_an_explained_row_do_not_reach_the_log(server: Server, system: System) -> None:
    server.post("/predict?explain=true", system.sample, headers={"X-Request-ID": "explained"})
    (line,) = server.requests_logged("explained")
    assert "explanation" not in str(line)
    assert set(line) <= {
        "time", "level", "message", "request_id", "method", "route", "status", "duration_ms", "model",
        "version", "prediction", "probability", "warnings",
    }  # fmt: skip


@pytest.mark.parametrize("asked", ["false", "0", "False"])
def test_no_explanation_unless_requested(server: Server, system: System, asked: str) -> None:
    assert "explanation" not in server.post(f"/predict?explain={asked}", system.sample).json()


def test_an_explanation_that_is_impossible_is_rejected_in_a_sentence(server: Server, system: System) -> None:
    before = server.metrics()
    rejected = problem(server.post("/predict?explain=maybe", system.sample), 422, "ValidationError")
    assert rejected["detail"] == "'explain' must be true or false."
    many = server.post("/predict/batch?explain=true", {"instances": [system.sample]})
    assert "one row at a time" in problem(many, 422, "ValidationError")["detail"]
    if system.declaration.routes.lists:
        problem(server.post("/predict?explain=1", [system.sample]), 422, "ValidationError")
    predicted = [key for key in before if key[0] == "predictions_total"]
    after = server.metrics()
    assert all(after[key] == before[key] for key in predicted)
