"""A model with types that no shipped one has, from the table to what is served, shown and counted."""

import csv
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
        writer.writerow(["city", "amount", "late"])
        for number in range(1000):
            city = CITIES[number % 40] if number % 20 else f"Hamlet {number}"
            amount = round(chance.gauss(50, 10), 1)
            late = number % 40 + chance.gauss(0, 10) > 20
            writer.writerow([city, amount, "late" if late else "in_time"])


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


ROW = {"city": "City 01", "amount": 50}


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
    assert {"OpenTwoClassPrediction", "OpenTwoClassBatch", "UnlistedWarning"} <= set(shapes)
    features = typed.get(f"/models/{NAME}").json()["features"]
    assert [(feature["name"], feature["other"]) for feature in features] == [
        ("city", True),
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
    page = posted(typed, "table", {"table": "city,amount\nCity 01,50\nOslo,50\n4711,50\n"})
    assert page.text.count("city: the model knows no such category") == 2
    assert "Oslo" in page.text
