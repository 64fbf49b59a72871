"""The console without a browser: its pages, and its forms as a browser without scripts posts them."""

import csv
import gzip
import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import requests

from bundle.encoding import Encoder
from bundle.features import CategoryFeature
from serving.console.console import MOST_EXAMPLES
from tests.contract.test_feedback import settings_for
from tests.harness import HEART, Server, eventually, problem
from tests.pages import Page, opened, posted, read
from tests.systems import System

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
HOSTILE = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror='alert(1)'>",
    "</textarea></select><b>bold</b>",
    "{{ 7 * 7 }}{% raw %}",
    "\u202eright to left\u202c \u05d0\u05d1",
    "x" * 10_000,
]
MOST_COMPRESSED = 100 * 1024
TOKEN = "3fd1b7c09a2e4d5f8861c7b2a90e4d13"  # noqa: S105


@pytest.mark.parametrize(
    ("accept", "is_page"),
    [
        (BROWSER, True),
        ("text/html", True),
        ("text/html;q=0.9, application/json;q=0.8", True),
        ("TEXT/HTML; Q=0.5, */*", True),
        ("*/*", False),
        ("application/json", False),
        ("text/html;q=0.5, application/json", False),
        ("text/html, application/json", False),
        ("text/html;q=0", False),
        ("text/html;q=x", False),
        (None, False),
    ],
)
@pytest.mark.heart
def test_a_browser_gets_the_console_and_a_client_json(
    server: Server, accept: str | None, is_page: bool
) -> None:
    response = server.get("/", headers={"Accept": accept})
    assert response.status_code == 200
    assert response.headers["vary"].split(", ")[0] == "Accept"
    assert response.headers["content-type"].startswith("text/html" if is_page else "application/json")


def test_the_start_page_loads_only_files_of_this_server(server: Server) -> None:
    page = read(server.get("/", headers={"Accept": BROWSER}))
    for link in page.links:
        if not link.startswith("#"):
            assert not link.startswith(("/", "http")), link
            assert server.get(f"/{link}").status_code == 200, link


def test_the_form_has_every_feature_in_words(server: Server, system: System) -> None:
    page = opened(server)
    for feature in system.declaration.features:
        assert f"value.{feature.name}" in page.named
        assert feature.description.partition(" (")[0] in page.text
        if isinstance(feature, CategoryFeature):
            assert all(name in page.text for name in feature.codes)
    assert system.declaration.limits in page.text
    assert system.declaration.intended_use in page.text


def test_examples_get_the_answer_of_the_api(server: Server, system: System) -> None:
    rows = [system.sample, *(probe.row for probe in system.manifest.probes[:MOST_EXAMPLES])]
    for number, row in enumerate(rows):
        fields = opened(server, f"/console/predict?example={number}").fields["predict"]
        page, answer = posted(server, "predict", fields), server.post("/predict?explain=true", row).json()
        assert page.fields["predict"] == fields
        assert page.texts["class"] == answer["label"].replace("_", " ")
        if system.declaration.binary:
            assert float(page.data["probability"]) == answer["probability"]
        else:
            assert {label: float(page.data[label]) for label in answer["probabilities"]} == answer[
                "probabilities"
            ]
        for member in answer["explanation"]["contributions"]:
            assert f"{member['contribution']:+.2f}" in page.texts["result"]
        encode = Encoder(system.declaration).encode_row
        sent = json.loads(page.texts["snippet-json"])
        assert encode(sent) == pytest.approx(encode(row), nan_ok=True)


def test_an_empty_form_gets_the_apis_own_sentences(server: Server, system: System) -> None:
    page = posted(server, "predict", {"version": ""}, 422)
    for error in problem(server.post("/predict", {}), 422, "ValidationError")["errors"]:
        assert page.texts[f"errors-{error['field']}"] == f"'{error['field']}' {error['detail']}."


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_value_is_text_and_reaches_no_log(server: Server, system: System, value: str) -> None:
    fields = opened(server, "/console/predict?example=0").fields["predict"]
    plain = posted(server, "predict", fields | {f"value.{system.number.name}": "no number"}, 422)
    for name in (f"value.{system.number.name}", "model", "version", "unit.x", value):
        response = server.post("/console/predict", data=fields | {name: value})
        page = Page(response.text)
        assert not {"img", "b"} & set(page.tags)
        assert page.tags.count("script") == 1
        if name.startswith("value."):
            assert page.fields["predict"][name] == value
            assert page.tags == plain.tags
        server.requests_logged(response.headers["x-request-id"])
    assert not [line for line in server.lines if value[:100] in line]


@pytest.mark.heart
def test_a_value_that_is_typed_reaches_no_log(server: Server) -> None:
    fields = opened(server, "/console/predict?example=0").fields["predict"] | {"value.oldpeak": "1.23456"}
    response = server.post("/console/predict", data=fields)
    (line,) = server.requests_logged(response.headers["x-request-id"])
    assert line["prediction"] in ("disease", "no_disease")
    assert "1.23456" in response.text
    assert "1.23456" not in json.dumps(line)


@pytest.mark.heart
def test_a_missing_value_and_another_unit_are_what_the_api_would_read(server: Server, system: System) -> None:
    fields = opened(server, "/console/predict?example=0").fields["predict"]
    typed = fields | {"unknown.ca": "on", "value.thal": "unknown", "value.chol": "6.0", "unit.chol": "mmol/l"}
    page = posted(server, "predict", typed)
    row = system.sample | {"ca": None, "thal": None, "chol": 232}
    assert float(page.data["probability"]) == server.post("/predict", row).json()["probability"]
    assert page.texts["converted-chol"] == "= 232 mg/dl"
    assert page.fields["predict"] == typed


@pytest.mark.heart
def test_a_wrong_value_is_said_in_the_words_of_the_form(server: Server) -> None:
    fields = opened(server, "/console/predict?example=0").fields["predict"]
    page = posted(server, "predict", fields | {"value.chol": "6,0", "unit.chol": "mmol/l"}, 422)
    sentence = "'chol' must be a number from 1.293 to 25.86 (mmol/l), with a decimal point: 6.0."
    assert page.texts["errors-chol"] == sentence
    assert sentence in page.texts["failure"]


@pytest.mark.heart
def test_a_number_that_is_too_large_in_another_unit_is_rejected(server: Server) -> None:
    page = posted(server, "predict", {"value.chol": "1e308", "unit.chol": "mmol/l"}, 422)
    assert "must be a number from 1.293 to 25.86 (mmol/l)" in page.texts["errors-chol"]


@pytest.mark.heart
def test_a_form_of_another_declaration_gets_no_answer(server: Server) -> None:
    form = opened(server, "/console/predict?example=0").fields["predict"]
    assert "probability" in posted(server, "predict", form).data
    page = posted(server, "predict", form | {"state": "0123456789ab"}, 422)
    assert "The model was replaced since you opened this page" in page.texts["problem"]


@pytest.mark.heart
def test_the_consoles_own_address_leads_to_its_first_page(server: Server) -> None:
    for path in ("/console", "/console/"):
        response = server.get(path)
        assert response.url == f"{server.url}/console/predict"
        assert "<h1>Predict</h1>" in response.text


@pytest.mark.heart
def test_a_value_outside_of_the_training_data_is_warned_of_beside_its_field(server: Server) -> None:
    fields = opened(server, "/console/predict?example=0").fields["predict"] | {"value.age": "100"}
    page = posted(server, "predict", fields)
    assert page.texts["warnings-age"] == "The model was trained on 29 to 77 years."


@pytest.mark.heart
def test_declared_texts_are_text(start: Callable[..., Server], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(HEART, tmp_path / "heart-disease"))
    text = (folder / "model.toml").read_text(encoding="utf-8")
    hostile = "</title></dd><script>alert(1)</script> ' \" {{ 7 * 7 }} \u202e"
    for name in ("title", "description", "intended_use", "limits"):
        text = re.sub(
            rf'^{name} = "(""\\\n)?',
            lambda found: found[0] + json.dumps(hostile)[1:-1],
            text,
            flags=re.MULTILINE,
        )
    text = text.replace('description = "Age"', f"description = {json.dumps(hostile)}")
    (folder / "model.toml").write_text(text, encoding="utf-8")
    server = start(MODELS_DIR=str(tmp_path))
    for path in ("predict?example=0", "table", "live", "models"):
        page = opened(server, f"/console/{path}")
        assert page.tags.count("script") == 1
        assert hostile in page.text


def table_of(rows: list[dict[str, Any]], separator: str = ",") -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), delimiter=separator)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_gets_the_predictions_of_the_api(server: Server, system: System, separator: str) -> None:
    rows = system.rows[:150]
    page = posted(server, "table", {"table": table_of(rows, separator)})
    expected = server.post("/predict/batch", {"instances": rows}).json()["predictions"]
    response = server.post("/console/download", data=page.fields["download"])
    assert response.headers["content-disposition"] == 'attachment; filename="predictions.csv"'
    assert response.headers["cache-control"] == "no-store"
    downloaded = list(csv.DictReader(io.StringIO(response.content.decode(), newline="")))
    assert [row["predicted"] for row in downloaded] == [prediction["label"] for prediction in expected]
    if system.declaration.binary:
        assert [float(row["probability"]) for row in downloaded] == [row["probability"] for row in expected]
    again = [{name: row[name] for name in system.declaration.feature_names} for row in downloaded]
    same = posted(server, "table", {"table": table_of(again)})
    assert same.fields["download"] == page.fields["download"]


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ("", "There is no table; paste one whose first line names the features."),
        ("age,sex\n1", "Row 0 has 1 cells, and the header has 2; rows count from 0."),
        ("age,age\n1,2", "Two columns of the table have the same name; remove one."),
        ("age", "There are no rows; send at least one."),
        ('age\n"1', "The table is not CSV: unexpected end of data."),
        ("age\n1\n", "Row 0: 'sex' is missing."),
        ("<b>\n1\n", "Row 0: 'age' is missing."),
    ],
)
@pytest.mark.heart
def test_a_table_that_is_not_accepted_says_why(server: Server, table: str, sentence: str) -> None:
    page = posted(server, "table", {"table": table}, 422)
    assert sentence in page.texts["failure"]
    assert page.fields["table"]["table"] == table


@pytest.mark.heart
def test_a_table_has_the_limits_of_the_api(start: Callable[..., Server], system: System) -> None:
    server = start(MAX_BATCH_ROWS="2", MAX_BODY_BYTES="2048", BODY_TIMEOUT_SECONDS="2")
    page = posted(server, "table", {"table": table_of([system.sample] * 3)}, 422)
    assert "There are 3 rows; send 2 at most." in page.texts["failure"]
    page = posted(server, "table", {"table": "x" * 3000}, 413)
    assert page.texts["problem"] == "The body may have 2048 bytes at most; send smaller batches."


@pytest.mark.heart
def test_a_download_may_be_longer_than_another_body(start: Callable[..., Server], system: System) -> None:
    server = start(MAX_BODY_BYTES="8000")
    coded = system.sample | {"cp": 3, "restecg": 0, "slope": 0, "thal": 3, "chol": 900}
    page = posted(server, "table", {"table": table_of([coded] * 48)})
    assert len(urlencode(page.fields["download"])) > 8000
    response = server.post("/console/download", data=page.fields["download"])
    assert response.status_code == 200
    assert len(response.text.splitlines()) == 49


@pytest.mark.heart
def test_codes_of_a_table_are_shown_in_words(server: Server, system: System) -> None:
    page = posted(server, "table", {"table": table_of([system.sample | {"ca": 4, "thal": 0}])})
    (row,) = csv.DictReader(io.StringIO(page.fields["download"]["download"], newline=""))
    assert (row["cp"], row["ca"], row["thal"]) == ("typical angina", "", "")


@pytest.mark.heart
def test_a_download_has_no_cell_that_a_spreadsheet_runs(server: Server) -> None:
    cells = ["=1+1", "+cmd", "-x", "@SUM(A1)", "\tx", "-1.5", "+2", "plain"]
    text = io.StringIO()
    csv.writer(text).writerows([["=name"], *([cell] for cell in cells)])
    response = server.post("/console/download", data={"download": text.getvalue()})
    written = [row[0] for row in csv.reader(io.StringIO(response.content.decode(), newline=""))]
    assert written == ["'=name", "'=1+1", "'+cmd", "'-x", "'@SUM(A1)", "'\tx", "-1.5", "+2", "plain"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "null"}, 200),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "null", "Cookie": "console=1"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "{own}"}, 200),
        ({"Origin": "http://elsewhere.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "null", "Cookie": "other=1; console=1"}, 200),
        ({"Origin": "null", "Cookie": "notconsole=1"}, 403),
    ],
)
@pytest.mark.heart
def test_another_sites_form_is_refused_in_a_sentence(
    server: Server, headers: dict[str, str], status: int
) -> None:
    sent = {name: value.format(own=server.url) for name, value in headers.items()}
    for form in ("predict", "table", "download"):
        fields = opened(server, f"/console/{form.replace('download', 'table')}?example=0").fields.get(
            form, {}
        )
        fields = fields or {"download": "a\n1\n"}
        response = server.post(f"/console/{form}", data=fields, headers=sent)
        assert response.status_code == status
        if status == 403:
            page = read(response, 403)
            assert page.texts["problem"].startswith("Another site sent this form, so nothing was done")


@pytest.mark.heart
def test_the_cookie_stays_on_this_site_and_has_no_content(server: Server) -> None:
    cookie = server.get("/console/predict").headers["set-cookie"]
    assert cookie == "console=1; HttpOnly; Path=/; SameSite=strict"


def test_predictions_are_counted_as_the_apis(start: Callable[..., Server], system: System) -> None:
    server = start()
    fields = opened(server, "/console/predict?example=0").fields["predict"]
    posted(server, "predict", fields)
    posted(server, "predict", {"version": ""}, 422)
    label = server.post("/predict", system.sample).json()["label"]
    assert server.shows(2, "predictions", result=label, version=system.version, outcome="success")
    assert server.shows(1, "errors", endpoint="/console/predict", error_type="ValidationError")
    assert server.shows(1, "requests", endpoint="/console/predict", method="POST", status="422")
    names = {"model": system.name, "feature": system.number.name}
    eventually(lambda: server.metric("feature_values_total", **names) == 2, "drift sees both rows")
    assert server.metric("feature_rejected_total", **names) == 1


@pytest.mark.churn
def test_a_version_of_its_own_path_answers(server: Server) -> None:
    assert "model=churn&version=v2" in " ".join(opened(server).links)
    fields = opened(server, "/console/predict?model=churn&version=v2&example=0").fields["predict"]
    page = posted(server, "predict", fields)
    assert re.search(r"Version\s*v2\s", page.texts["result"])
    assert "/v2/predict" in page.texts["snippet-curl"]


@pytest.mark.heart
def test_several_models_are_served_and_no_others(start: Callable[..., Server]) -> None:
    server = start(MODEL="heart-disease,iris")
    fields = opened(server, "/console/predict?model=iris&example=0").fields["predict"]
    page = posted(server, "predict", fields)
    assert page.texts["class"] == "setosa"
    assert "/models/iris/predict" in page.texts["snippet-curl"]
    for wrong in ("model=fraud", "model=iris&version=v1", "example=99", "example=x", "example=-1"):
        assert (
            "choose one of those"
            in read(server.get(f"/console/predict?{wrong}"), 404 if "m" in wrong[:1] else 422).text
        )
    models = opened(server, "/console/models")
    assert {"heart-disease-v1", "iris-v1"} <= set(models.texts)
    eventually(
        lambda: "Of all models" in opened(server, "/console/live?model=iris").texts.get("of-traffic", ""),
        "the page says whose requests it counts",
    )


def test_models_have_their_evaluation_and_hashes(server: Server, system: System) -> None:
    page = opened(server, "/console/models")
    manifest = system.manifest
    for estimate in manifest.evaluation.metrics.values():
        assert f"{estimate.lower:.3f} to {estimate.upper:.3f}" in page.text
    for sha256 in (manifest.sha256, manifest.data.sha256, *manifest.files.values()):
        assert sha256 in page.text
    card = next(link for link in page.links if "/card" in link)
    assert server.get(f"/console/{card}").status_code == 200


@pytest.mark.heart
def test_the_snippets_are_the_same_request(server: Server) -> None:
    fields = opened(server, "/console/predict?example=0").fields["predict"]
    page = posted(server, "predict", fields)
    body = json.loads(page.texts["snippet-json"])
    assert str(server.post("/predict", body).json()["probability"]) == page.data["probability"]
    assert page.texts["snippet-curl"].startswith(f"curl -s {server.url}/predict ")
    page = posted(server, "predict", fields, headers={"Host": "x'; rm -rf"})
    assert "rm -rf" not in page.texts["snippet-curl"]


@pytest.fixture
def taking(start: Callable[..., Server], tmp_path: Path) -> Server:
    return start(**settings_for(tmp_path))


@pytest.mark.heart
def test_an_outcome_is_reported(taking: Server) -> None:
    answered = posted(taking, "predict", opened(taking, "/console/predict?example=0").fields["predict"])
    fields = answered.fields["outcome"] | {"outcome": "disease"}
    assert "The outcome is recorded." in posted(taking, "outcome", fields).texts["outcome"]
    assert "recorded before" in posted(taking, "outcome", fields).texts["outcome"]
    other = posted(taking, "outcome", fields | {"outcome": "no_disease"}, 409)
    assert "another outcome already" in other.texts["failure"]
    refused = posted(taking, "outcome", fields, 403, headers={"Sec-Fetch-Site": "cross-site"})
    assert "nothing was done" in refused.texts["problem"]


@pytest.mark.heart
def test_an_outcome_needs_the_token_where_there_is_one(start: Callable[..., Server], tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN, encoding="utf-8")
    server = start(**settings_for(tmp_path, FEEDBACK_TOKEN_FILE=str(tmp_path / "token")))
    answered = posted(server, "predict", opened(server, "/console/predict?example=0").fields["predict"])
    assert "only with its token" in answered.texts["hint-token"]
    fields = answered.fields["outcome"] | {"outcome": "disease"}
    for wrong in ("", "x", "\u05d0"):
        page = posted(server, "outcome", fields | {"token": wrong}, 401)
        assert page.texts["failure"] == "This is not the token for outcomes; enter it again."
    page = posted(server, "outcome", fields | {"token": TOKEN, "correction": "on"})
    assert "The outcome is recorded." in page.texts["outcome"]
    other = fields | {"token": TOKEN, "outcome": "no_disease"}
    page = posted(server, "outcome", other, 409)
    assert "tick the box to replace it" in page.texts["failure"]
    page = posted(server, "outcome", other | {"correction": "on"})
    assert "The outcome is corrected." in page.texts["outcome"]
    assert TOKEN not in requests.get(server.url + "/console/predict", timeout=5).text
    assert not [line for line in server.lines if TOKEN in line]


@pytest.mark.heart
def test_where_no_outcomes_are_taken_none_is_asked_for(server: Server) -> None:
    answered = posted(server, "predict", opened(server, "/console/predict?example=0").fields["predict"])
    assert "outcome" not in answered.fields
    assert server.post("/console/outcome", data={}).status_code == 404


@pytest.mark.heart
def test_what_is_no_form_is_refused(server: Server) -> None:
    page = read(server.post("/console/predict", json={}), 415)
    assert "programs use /predict" in page.texts["problem"]
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    page = read(server.post("/console/predict", data=b"\xff", headers=kind), 400)
    assert "UTF-8" in page.texts["problem"]


@pytest.mark.heart
def test_a_setting_switches_the_console_off(start: Callable[..., Server]) -> None:
    server = start(CONSOLE="false")
    response = server.get("/", headers={"Accept": BROWSER})
    assert response.headers["content-type"] == "application/json"
    for path in ("predict", "table", "models"):
        problem(server.get(f"/console/{path}"), 404, "NotFound")
    problem(server.post("/console/predict", data={}), 404, "NotFound")


@pytest.mark.heart
def test_files_are_small_and_cached_by_their_hash(server: Server) -> None:
    response = server.get("/console/predict")
    size = len(gzip.compress(response.content))
    files = [link for link in Page(response.text).links if "/static/" in link]
    assert len(files) == 3
    for link in files:
        found = server.get(f"/console/{link}")
        assert found.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert re.search(r"\.[0-9a-f]{12}\.(css|js|svg)$", link)
        size += len(gzip.compress(found.content))
    assert size <= MOST_COMPRESSED
    problem(server.get("/console/static/console.css"), 404, "NotFound")
    problem(server.get("/console/static/..%2fconsole.py"), 404, "NotFound")
