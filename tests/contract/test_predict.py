"""Answers over HTTP are scikit-learn's answers, each to its own request."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.harness import SAMPLE, Server
from tests.systems import System


def test_documented_samples_get_the_documented_answers(server: Server, system: System) -> None:
    assert system.sample == system.answers[0][0]
    for row, label in system.answers:
        response = server.post("/predict", row)
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/json"
        answer = response.json()
        binary = system.declaration.binary
        assert list(answer) == [
            "prediction", "label", "probability" if binary else "probabilities", "confidence",
            *(["threshold"] if binary else []), "model", "request_id", "warnings",
        ]  # fmt: skip
        shown = {declared.label: declared.prediction for declared in system.declaration.classes}
        assert (answer["label"], answer["prediction"]) == (label, shown[label])
        if binary:
            positive = label == system.declaration.labels[1]
            assert (answer["probability"] >= answer["threshold"]) is positive
            assert answer["confidence"] == pytest.approx(
                max(answer["probability"], 1 - answer["probability"])
            )
        else:
            assert list(answer["probabilities"]) == system.declaration.labels
            assert answer["confidence"] == answer["probabilities"][label]
        assert answer["model"] == {"name": system.name, "version": system.version}
        assert answer["request_id"] == response.headers["x-request-id"]


def probabilities(answer: dict[str, Any]) -> list[float]:
    """Return the probability of each class."""
    if "probability" in answer:
        return [1 - answer["probability"], answer["probability"]]
    return list(answer["probabilities"].values())


def test_rows_one_by_one_equal_scikit_learn(server: Server, system: System) -> None:
    with requests.Session() as session:
        answers = [session.post(f"{server.url}/predict", json=row, timeout=10).json() for row in system.rows]
    expected = system.expected(system.version)
    assert len(answers) == len(expected) > 200
    for answer, row in zip(answers, expected.tolist(), strict=True):
        assert probabilities(answer) == pytest.approx(row, abs=1e-5)
    assert [answer["label"] for answer in answers] == system.predicted(system.version)


def test_rows_in_a_batch_equal_scikit_learn_in_order(server: Server, system: System) -> None:
    answer = server.post("/predict/batch", {"instances": system.rows}).json()
    assert set(answer) - {"threshold"} == {"predictions", "model", "request_id"}
    found = [probabilities(prediction) for prediction in answer["predictions"]]
    assert found == pytest.approx(system.expected(system.version), abs=1e-5)


@pytest.mark.heart
def test_codes_and_spelled_out_categories_give_the_same_answer(server: Server) -> None:
    spelled = SAMPLE | {
        "sex": "male", "cp": "typical angina", "fbs": "yes", "restecg": "left ventricular hypertrophy",
        "exang": "no", "slope": "downsloping", "thal": "fixed defect",
    }  # fmt: skip
    codes, names = (server.post("/predict", row).json()["probability"] for row in (SAMPLE, spelled))
    assert codes == names


@pytest.mark.heart
@pytest.mark.parametrize(("field", "code"), [("ca", 4), ("thal", 0)])
def test_the_code_for_unknown_means_null(server: Server, field: str, code: int) -> None:
    code_answer, null_answer = (
        server.post("/predict", SAMPLE | {field: value}).json()["probability"] for value in (code, None)
    )
    assert code_answer == null_answer


@pytest.mark.heart
def test_a_value_outside_the_training_range_gets_a_warning(server: Server) -> None:
    answer = server.post("/predict", SAMPLE | {"chol": 600}).json()
    assert answer["warnings"] == [
        {
            "field": "chol",
            "trained_minimum": 126,
            "trained_maximum": 564,
            "unit": "mg/dl",
            "detail": "the model was trained on 126 to 564 mg/dl",
        }
    ]
    below = server.post("/predict", SAMPLE | {"chol": 100}).json()
    assert [warning["field"] for warning in below["warnings"]] == ["chol"]
    batch = server.post("/predict/batch", {"instances": [SAMPLE, SAMPLE | {"age": 80}]}).json()
    assert [[w["field"] for w in p["warnings"]] for p in batch["predictions"]] == [[], ["age"]]


def test_the_last_of_repeated_keys_wins(server: Server, system: System) -> None:
    body = f'{{"{system.number.name}": -1, ' + json.dumps(system.sample)[1:]
    response = server.post("/predict", data=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 200


@pytest.mark.parametrize(
    "media_type", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/vnd.x+json"]
)
def test_json_media_types_are_accepted(server: Server, system: System, media_type: str) -> None:
    response = server.post("/predict", system.sample, headers={"Content-Type": media_type})
    assert response.status_code == 200


def test_2000_requests_from_50_clients_each_get_their_own_answer(server: Server, system: System) -> None:
    rows, expected = system.rows, system.expected(system.version).tolist()

    def client(number: int) -> int:
        right = 0
        with requests.Session() as session:
            for turn in range(40):
                index = (number * 40 + turn) % len(rows)
                request_id = f"client-{number}-{turn}"
                headers = {"X-Request-ID": request_id}
                answer = session.post(
                    f"{server.url}/predict", json=rows[index], headers=headers, timeout=30
                ).json()
                own = answer["request_id"] == request_id
                right += own and probabilities(answer) == pytest.approx(expected[index], abs=1e-5)
        return right

    with ThreadPoolExecutor(50) as pool:
        assert sum(pool.map(client, range(50))) == 2000
    assert server.shows(0, "active_requests")


@pytest.mark.heart
def test_a_configured_threshold_is_shown_and_used(start: Any) -> None:
    cautious = start(THRESHOLD="0.1666")
    answer = cautious.post("/predict", SAMPLE).json()
    assert answer["threshold"] == 0.1666
    assert answer["label"] == "disease"
    assert cautious.get("/models/heart-disease").json()["threshold"] == 0.1666


@pytest.mark.heart
def test_models_show_their_declaration_and_metrics(server: Server) -> None:
    model = server.get("/models/heart-disease").json()
    assert server.get("/models").json() == {"models": [model]}
    age, ca = (next(f for f in model["features"] if f["name"] == name) for name in ("age", "ca"))
    assert (age["unit"], age["minimum"], age["maximum"], age["trained_maximum"]) == ("years", 18, 120, 77)
    assert (ca["nullable"], ca["missing_codes"]) == (True, [4])
    assert model["evaluation"]["metrics"]["auc"]["value"] >= 0.90
    assert len(model["bundle_sha256"]) == 64


def test_models_are_described(server: Server, system: System) -> None:
    model = server.get(f"/models/{system.name}").json()
    assert model in server.get("/models").json()["models"]
    assert (model["name"], model["version"]) == (system.name, system.version)
    assert [feature["name"] for feature in model["features"]] == system.declaration.feature_names
    assert model["classes"] == system.declaration.labels
    assert model["evaluation"] == system.manifest.evaluation.model_dump()
    assert len(model["bundle_sha256"]) == 64


def test_the_index_lists_addresses_that_answer(server: Server) -> None:
    links = server.get("/").json()["links"]
    statuses = {link: server.get(link).status_code for link in links.values()}
    assert statuses == dict.fromkeys(links.values(), 200) | {"/predict": 405}


def test_documentation_needs_no_other_server(server: Server) -> None:
    page = server.get("/docs").text
    for asset in ("swagger-ui-bundle.js", "start.js", "swagger-ui.css", "favicon.png"):
        assert f"docs/{asset}" in page
        assert server.get(f"/docs/{asset}").status_code == 200
    assert "openapi.json" in server.get("/docs/start.js").text
    assert server.get("/openapi.json").status_code == 200
    assert "https://" not in page
    assert server.get("/docs/redoc.standalone.js").status_code == 404
    assert server.get("/docs/swagger-ui.css", headers={"Range": "bytes=9999999-"}).status_code == 200
