"""A model with types that no shipped one has, from the table to what is served, shown and counted."""

import csv
import io
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from bundle.features import UNLISTED
from tests.harness import Server, problem
from tests.pages import opened, posted
from training import new
from training.build import build

NAME = "late"
CITIES = [f"City {number:02}" for number in range(40)]


def write_table(path: Path) -> None:
    chance = random.Random(0)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["city", "member", "amount", "late"])
        for number in range(1000):
            city = CITIES[number % 40] if number % 20 else f"Hamlet {number}"
            amount = round(chance.gauss(50, 10), 1)
            member = chance.choice(["True", "False", ""])
            late = (member == "True") * 10 + number % 40 + chance.gauss(0, 10) > 20
            writer.writerow([city, member, amount, "late" if late else "in_time"])


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("types")
    write_table(folder / "late.csv")
    options = ["--model", NAME, "--data", str(folder / "late.csv"), "--target", "late"]
    assert new.main([*options, "--models-dir", str(folder / "models")]) == 0
    build(folder / "models" / NAME, None, None, say=lambda _: None)
    return folder / "models"


@pytest.fixture(scope="module")
def typed(models: Path) -> Iterator[Server]:
    server = Server({"MODEL": NAME, "MODELS_DIR": str(models)}).wait_until_ready()
    yield server
    assert server.stop() == 0


ROW = {"city": "City 01", "member": True, "amount": 50}


def test_a_value_that_is_not_listed_is_answered_with_a_warning(typed: Server) -> None:
    assert typed.post("/predict", ROW).json()["warnings"] == []
    before = typed.metric("feature_unlisted_total", feature="city")
    answers = [typed.post("/predict", ROW | {"city": city}).json() for city in ("Atlantis-4711", 4711)]
    batch = typed.post("/predict/batch", {"instances": [ROW, ROW | {"city": "Atlantis-4711"}]}).json()
    warning = {"field": "city", "detail": "the model knows no such category, and takes it as any other"}
    assert [answer["warnings"] for answer in answers] == [[warning]] * 2
    assert [answer["warnings"] for answer in batch["predictions"]] == [[], [warning]]
    assert answers[0]["probability"] == batch["predictions"][1]["probability"]
    assert typed.metric("feature_unlisted_total", feature="city") == before + 3
    assert typed.metric("feature_values_total", feature="city", bin=UNLISTED) == before + 3
    assert typed.metric("feature_reference_share", feature="city", bin=UNLISTED) == 0.05


def test_what_a_client_wrote_is_in_no_metric_log_or_explanation(typed: Server) -> None:
    answer = typed.post("/predict?explain=true", ROW | {"city": "Atlantis-4712"})
    city = answer.json()["explanation"]["contributions"][0]
    assert (city["feature"], city["value"]) == ("city", UNLISTED)
    typed.requests_logged(answer.json()["request_id"])
    assert "4712" not in typed.get("/metrics").text + "".join(typed.lines) + answer.text


def test_an_empty_text_is_no_value(typed: Server) -> None:
    document = problem(typed.post("/predict", ROW | {"city": ""}), 422, "ValidationError")
    assert document["errors"][0]["detail"].startswith("must be a text or a code; known are City")
    assert "and 18 more" in document["errors"][0]["detail"]


def test_documents_say_what_is_known_and_that_more_is_taken(typed: Server) -> None:
    document = typed.get("/openapi.json").json()
    operation = document["paths"]["/predict"]["post"]
    city = operation["requestBody"]["content"]["application/json"]["schema"]["properties"]["city"]
    assert "City 03" in city["examples"]
    assert "enum" not in city
    shapes = document["components"]["schemas"]
    assert {"ExtendedTwoClassPrediction", "ExtendedTwoClassBatch", "UnlistedWarning"} <= set(shapes)
    features = typed.get(f"/models/{NAME}").json()["features"]
    assert [(feature["name"], feature["other"]) for feature in features] == [
        ("city", True),
        ("member", False),
        ("amount", False),
    ]
    assert "a text or a code; known are City" in typed.get(f"/models/{NAME}/card").text
    assert "and other values" in typed.get("/console/models").text


def test_the_form_takes_another_value(typed: Server) -> None:
    fields = opened(typed, "/console/predict?example=0").fields["predict"]
    another = str(len(typed.get(f"/models/{NAME}").json()["features"][0]["codes"]))
    page = posted(typed, "predict", fields | {"value.city": another})
    assert "The model knows no such category" in page.texts["warnings-city"]
    assert UNLISTED in page.texts["result"]
    assert page.fields["predict"]["value.city"] == another


def test_a_pasted_table_takes_it(typed: Server) -> None:
    page = posted(typed, "table", {"table": "city,member,amount\nCity 01,ja,50\nOslo,0,50\n4711,,50\n"})
    assert page.text.count("city: the model knows no such category") == 2
    assert "Oslo" in page.text


def test_a_boolean_is_one_of_json(typed: Server) -> None:
    yes, no, missing = (typed.post("/predict", ROW | {"member": value}) for value in (True, False, None))
    assert abs(yes.json()["probability"] - no.json()["probability"]) > 0.01
    assert missing.status_code == 200
    for value in ("true", 1, 0, "yes"):
        document = problem(typed.post("/predict", ROW | {"member": value}), 422, "ValidationError")
        detail = "must be true or false, or null where it is unknown"
        assert document["errors"] == [{"field": "member", "detail": detail}]
    batch = typed.post("/predict/batch", {"instances": [ROW, ROW | {"member": False}]}).json()
    probabilities = [prediction["probability"] for prediction in batch["predictions"]]
    assert probabilities == [yes.json()["probability"], no.json()["probability"]]


def test_a_boolean_is_explained_counted_and_documented_as_one(typed: Server) -> None:
    explanation = typed.post("/predict?explain=true", ROW).json()["explanation"]
    assert [member["value"] for member in explanation["contributions"]] == ["City 01", True, 50.0]
    assert "member: true (odds" in explanation["sentence"]
    before = typed.metric("feature_values_total", feature="member", bin="true")
    typed.post("/predict", ROW)
    assert typed.metric("feature_values_total", feature="member", bin="true") == before + 1
    document = typed.get("/openapi.json").json()
    schema = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert schema["properties"]["member"]["anyOf"] == [{"type": "boolean"}, {"type": "null"}]
    described = typed.get(f"/models/{NAME}").json()
    member = next(feature for feature in described["features"] if feature["name"] == "member")
    assert (member["type"], member["codes"], member["nullable"]) == ("boolean", None, True)
    assert described["example"]["member"] in (True, False)
    assert "true or false, or null where it is unknown" in typed.get(f"/models/{NAME}/card").text


def test_a_form_and_a_table_show_booleans_as_json_does(typed: Server) -> None:
    fields = opened(typed, "/console/predict?example=0").fields["predict"]
    for option, value in (("0", "false"), ("1", "true"), ("unknown", "null")):
        page = posted(typed, "predict", fields | {"value.member": option})
        assert f'"member": {value}' in page.texts["snippet-json"]
    page = posted(typed, "table", {"table": "city,member,amount\nCity 01,Ja,50\nCity 01,0,50\n"})
    answers = typed.post("/predict/batch", {"instances": [ROW, ROW | {"member": False}]}).json()
    content = typed.post("/console/download", data=page.fields["download"]).text
    downloaded = list(csv.DictReader(io.StringIO(content, newline="")))
    assert [row["member"] for row in downloaded] == ["true", "false"]
    expected = [answer["probability"] for answer in answers["predictions"]]
    assert [float(row["probability"]) for row in downloaded] == expected
