"""Answers over HTTP are scikit-learn's answers, each to its own request."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import joblib
import pytest
import requests

from bundle.declaration import Declaration
from bundle.encoding import Encoder
from tests.harness import HEART, SAMPLE, Server, csv_rows

ROWS: list[dict[str, Any]] = [dict(row) for row in csv_rows()]


@pytest.fixture(scope="module")
def expected(declaration: Declaration) -> list[float]:
    """scikit-learn's probability of disease for each of the 303 rows."""
    pipeline = joblib.load(HEART / "v1" / "model.joblib")
    return [float(p) for p in pipeline.predict_proba(Encoder(declaration).encode(ROWS))[:, 1]]


def test_the_sample_has_no_disease(server: Server) -> None:
    response = server.post("/predict", SAMPLE)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    answer = response.json()
    assert list(answer) == [
        "prediction", "label", "probability", "confidence", "threshold", "model", "request_id", "warnings",
    ]  # fmt: skip
    assert answer["prediction"] == 0
    assert answer["label"] == "no_disease"
    assert answer["probability"] < 0.5
    assert answer["confidence"] == pytest.approx(1 - answer["probability"])
    assert answer["threshold"] == 0.5
    assert answer["model"] == {"name": "heart-disease", "version": "v1"}
    assert answer["request_id"] == response.headers["x-request-id"]
    assert answer["warnings"] == []


def test_all_rows_one_by_one_equal_scikit_learn(server: Server, expected: list[float]) -> None:
    with requests.Session() as session:
        answers = [session.post(f"{server.url}/predict", json=row, timeout=10).json() for row in ROWS]
    assert len(answers) == 303
    for answer, probability in zip(answers, expected, strict=True):
        assert answer["probability"] == pytest.approx(probability, abs=1e-5)
        assert answer["prediction"] == int(probability >= 0.5)
        assert answer["label"] == ("disease" if probability >= 0.5 else "no_disease")


def test_all_rows_in_a_batch_equal_scikit_learn_in_order(server: Server, expected: list[float]) -> None:
    answer = server.post("/predict/batch", {"instances": ROWS}).json()
    assert set(answer) == {"predictions", "threshold", "model", "request_id"}
    assert [p["probability"] for p in answer["predictions"]] == pytest.approx(expected, abs=1e-5)


def test_codes_and_spelled_out_categories_give_the_same_answer(server: Server) -> None:
    spelled = SAMPLE | {
        "sex": "male", "cp": "typical angina", "fbs": "yes", "restecg": "left ventricular hypertrophy",
        "exang": "no", "slope": "downsloping", "thal": "fixed defect",
    }  # fmt: skip
    codes, names = (server.post("/predict", row).json()["probability"] for row in (SAMPLE, spelled))
    assert codes == names


@pytest.mark.parametrize(("field", "code"), [("ca", 4), ("thal", 0)])
def test_the_code_for_unknown_means_null(server: Server, field: str, code: int) -> None:
    code_answer, null_answer = (
        server.post("/predict", SAMPLE | {field: value}).json()["probability"] for value in (code, None)
    )
    assert code_answer == null_answer


def test_a_value_outside_of_training_is_answered_with_a_warning(server: Server) -> None:
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
    batch = server.post("/predict/batch", {"instances": [SAMPLE, SAMPLE | {"age": 80}]}).json()
    assert [[w["field"] for w in p["warnings"]] for p in batch["predictions"]] == [[], ["age"]]


def test_of_a_repeated_key_the_last_wins(server: Server) -> None:
    body = '{"age": 99, ' + ", ".join(f'"{k}": {v}' for k, v in SAMPLE.items()) + "}"
    response = server.post("/predict", data=body, headers={"Content-Type": "application/json"})
    assert response.json()["warnings"] == []


@pytest.mark.parametrize(
    "media_type", ["application/json; charset=utf-8", "APPLICATION/JSON", "application/vnd.x+json"]
)
def test_json_media_types_are_accepted(server: Server, media_type: str) -> None:
    response = server.post("/predict", SAMPLE, headers={"Content-Type": media_type})
    assert response.status_code == 200


def test_2000_requests_from_50_clients_each_get_their_own_answer(
    server: Server, expected: list[float]
) -> None:
    def client(number: int) -> int:
        right = 0
        with requests.Session() as session:
            for turn in range(40):
                index = (number * 40 + turn) % len(ROWS)
                request_id = f"client-{number}-{turn}"
                headers = {"X-Request-ID": request_id}
                answer = session.post(
                    f"{server.url}/predict", json=ROWS[index], headers=headers, timeout=30
                ).json()
                right += (
                    answer["request_id"] == request_id and abs(answer["probability"] - expected[index]) < 1e-5
                )
        return right

    with ThreadPoolExecutor(50) as pool:
        assert sum(pool.map(client, range(50))) == 2000
    assert server.metric("active_requests") == 0


def test_a_threshold_by_setting_is_shown_and_used(start: Any) -> None:
    cautious = start(THRESHOLD="0.1666")
    answer = cautious.post("/predict", SAMPLE).json()
    assert answer["threshold"] == 0.1666
    assert answer["label"] == "disease"
    assert cautious.get("/models/heart-disease").json()["threshold"] == 0.1666


def test_models_tell_their_declaration_and_figures(server: Server) -> None:
    model = server.get("/models/heart-disease").json()
    assert server.get("/models").json() == {"models": [model]}
    age, ca = (next(f for f in model["features"] if f["name"] == name) for name in ("age", "ca"))
    assert (age["unit"], age["minimum"], age["maximum"], age["trained_maximum"]) == ("years", 18, 120, 77)
    assert (ca["nullable"], ca["missing_codes"]) == (True, [4])
    assert model["evaluation"]["figures"]["auc"]["value"] >= 0.90
    assert len(model["bundle_sha256"]) == 64


def test_the_index_lists_addresses_that_answer(server: Server) -> None:
    links = server.get("/").json()["links"]
    statuses = {link: server.get(link).status_code for link in links.values()}
    assert statuses == dict.fromkeys(links.values(), 200) | {"/predict": 405}


def test_documentation_needs_no_other_server(server: Server) -> None:
    page = server.get("/docs").text
    for asset in ("docs/swagger-ui-bundle.js", "docs/swagger-ui.css", "docs/favicon.png", "openapi.json"):
        assert asset in page
        assert server.get(f"/{asset}").status_code == 200
    assert "https://" not in page
    assert server.get("/docs/redoc.standalone.js").status_code == 404
    assert server.get("/docs/swagger-ui.css", headers={"Range": "bytes=9999999-"}).status_code == 200
