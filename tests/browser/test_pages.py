"""Each page of the console in a browser: with each model, with and without JavaScript, and for everybody."""

import csv
import io
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.accessibility import violations
from tests.browser.conftest import NAMES, SECONDS, Visit, probabilities, probe_rows
from tests.harness import Server, free_port

EXAMPLES = 4
MOST_TABS = 100
PAGES = ("predict", "predict?example=1", "table?example=1", "models")
NARROW, LARGE, ZOOMED = 320, 1920, 640
"""Widths: WCAG's narrowest, a large screen, and 1,280 at 200 %."""

expect.set_options(timeout=SECONDS * 1000)


def press(page: Page, button: str = "Predict") -> None:
    page.get_by_role("button", name=button, exact=True).click()


def shown_probabilities(page: Page) -> list[float]:
    """Return what the page says: of the positive class, or of each."""
    return [float(data.get_attribute("value") or "nan") for data in page.locator("data").all()]


@pytest.mark.parametrize("scripts", [True, False], ids=["with JavaScript", "without"])
@pytest.mark.parametrize("name", NAMES)
def test_the_answer_is_scikit_learns(
    server: Server, folder: Path, visit: Visit, name: str, *, scripts: bool
) -> None:
    expected = probabilities(folder, name)
    page = visit(f"{server.url}/console/predict?model={name}", java_script_enabled=scripts)
    for number in range(1, EXAMPLES + 1):
        page.get_by_role("link", name=f"made-up row {number}").click()
        press(page)
        expect(page.locator("#result")).to_be_visible()
        shown = shown_probabilities(page)
        of = expected[number][1:] if len(expected[number]) == 2 else expected[number]
        assert shown == pytest.approx(list(of), abs=1e-5)
        address = f"{server.url}/console/predict"
        assert page.url == (f"{address}?model={name}&example={number}" if scripts else address)


@pytest.mark.parametrize("scripts", [True, False], ids=["with JavaScript", "without"])
@pytest.mark.parametrize("name", NAMES)
def test_a_table_is_predicted_and_downloaded(
    server: Server, folder: Path, visit: Visit, name: str, *, scripts: bool
) -> None:
    rows = probe_rows(folder, name)
    page = visit(f"{server.url}/console/table?model={name}", java_script_enabled=scripts)
    page.get_by_label("Table", exact=True).fill(table_of(rows))
    press(page, "Predict rows")
    expect(page.locator("table.rows tbody tr")).to_have_count(len(rows))
    with page.expect_download() as download:
        press(page, "Download as CSV")
    content = download.value.path().read_text(encoding="utf-8")
    downloaded = list(csv.DictReader(io.StringIO(content, newline="")))
    answers = server.post(f"/models/{name}/predict/batch", {"instances": rows}).json()["predictions"]
    assert [row["predicted"] for row in downloaded] == [answer["label"] for answer in answers]
    assert "/console/download" not in page.url


def table_of(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


@pytest.mark.parametrize("name", NAMES)
def test_pages_are_accessible_in_both_themes_and_at_each_width(
    server: Server, visit: Visit, name: str
) -> None:
    page = visit(f"{server.url}/", complaint="422", color_scheme="light", reduced_motion="reduce")
    for path in PAGES:
        joined = f"{path}{'&' if '?' in path else '?'}model={name}"
        page.goto(f"{server.url}/console/{joined}")
        if path != "models":
            press(page, "Predict rows" if "table" in path else "Predict")
            expect(page.locator("#result, #failure").first).to_be_visible()
        page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)
            rules = ["color-contrast"] if theme == "dark" else []
            assert violations(page, *rules) == [], (path, theme)
        page.emulate_media(color_scheme="light")
        for width in (NARROW, ZOOMED, LARGE):
            page.set_viewport_size({"width": width, "height": 800})
            overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert overflow <= 0, (path, width)


LONG = """document.querySelectorAll("#result bdi, .brand bdi")
  .forEach(name => name.textContent = "x".repeat(999))"""
RIGHTMOST_NUMBER = """Math.max(...[...document.querySelectorAll("#result .number")]
  .map(number => number.getBoundingClientRect().right))"""


@pytest.mark.parametrize("name", NAMES)
def test_long_names_leave_numbers_and_the_form_in_sight(server: Server, visit: Visit, name: str) -> None:
    page = visit(f"{server.url}/console/predict?model={name}&example=0")
    press(page)
    expect(page.locator("#result")).to_be_visible()
    page.evaluate(LONG)
    for width in (NARROW, ZOOMED, LARGE):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, width
        assert page.evaluate(RIGHTMOST_NUMBER) <= width
        assert page.evaluate("document.querySelector('header').offsetHeight") < 400


def test_the_console_is_usable_by_keyboard_alone(server: Server, folder: Path, visit: Visit) -> None:
    (row,) = probe_rows(folder, "heart-disease")[1:2]
    page = visit(f"{server.url}/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    unfilled = set(row)
    for _ in range(MOST_TABS):
        page.keyboard.press("Tab")
        focused = page.evaluate(FOCUSED)
        name = focused["name"].removeprefix("value.")
        if name in unfilled:
            type_value(page, focused, str(row[name]))
            unfilled.remove(name)
        if page.evaluate("document.activeElement.textContent") == "Predict" and not unfilled:
            break
    assert (unfilled, page.evaluate("document.activeElement.textContent")) == (set(), "Predict")
    page.keyboard.press("Enter")
    expect(page.locator("#result")).to_be_focused()
    (shown,) = shown_probabilities(page)
    assert shown == pytest.approx(probabilities(folder, "heart-disease")[1][1], abs=1e-5)


FOCUSED = """() => ({
  name: document.activeElement.name ?? "",
  kind: document.activeElement.type ?? "",
  options: [...document.getElementsByName(document.activeElement.name ?? "")]
    .map(option => option.closest("label")?.textContent ?? ""),
})"""


def type_value(page: Page, focused: dict[str, Any], value: str) -> None:
    """Give the control that has the focus a value, by keys alone."""
    if focused["kind"] != "radio":
        page.keyboard.type(value)
        return
    page.keyboard.press("Space")
    for _ in range(focused["options"].index(value)):
        page.keyboard.press("ArrowRight")


def test_what_was_typed_survives_an_error_and_a_restart(folder: Path, visit: Visit) -> None:
    settings = {"MODEL": "iris", "MODELS_DIR": str(folder), "PORT": str(free_port())}
    server = Server(settings).wait_until_ready()
    try:
        page = visit(f"{server.url}/?example=1", complaint="Failed to load resource")
        page.get_by_label("Length of a sepal").fill("five")
        press(page)
        expect(page.locator("#failure")).to_be_focused()
        expect(page.locator("#errors-sepal_length")).to_contain_text("'sepal_length' must be a number")
        expect(page.get_by_label("Length of a sepal")).to_have_value("five")
        page.get_by_label("Length of a sepal").fill("5.5")
        server.stop()
        press(page)
        expect(page.locator("#connection")).to_contain_text("The API does not answer.")
        server = Server(settings).wait_until_ready()
        expect(page.locator("#connection")).to_contain_text("The API answers again.")
        expect(page.get_by_label("Length of a sepal")).to_have_value("5.5")
        press(page)
        expect(page.locator("#result")).to_be_visible()
        expect(page.locator("#connection")).to_be_empty()
    finally:
        server.stop()


@pytest.mark.parametrize("scripts", [True, False], ids=["with JavaScript", "without"])
def test_an_outcome_is_reported(server: Server, visit: Visit, *, scripts: bool) -> None:
    page = visit(f"{server.url}/?example=1", java_script_enabled=scripts)
    press(page)
    page.get_by_label("True class").select_option("disease")
    press(page, "Report")
    expect(page.locator("#outcome")).to_contain_text("The outcome is recorded.")
    expect(page.locator("#result")).to_have_count(1 if scripts else 0)


def test_an_answer_of_other_values_is_said_to_be_so(server: Server, visit: Visit) -> None:
    page = visit(f"{server.url}/?example=1")
    page.get_by_label("Age age").fill("50")
    press(page)
    expect(page.locator("#result")).to_be_visible()
    expect(page.locator("#outdated")).to_have_count(0)
    page.locator("label", has_text=re.compile("^male$")).click()
    page.get_by_label("Age age").fill("51")
    expect(page.locator("#result #outdated")).to_contain_text("this is the answer to the values before")
    assert violations(page) == []
    press(page)
    expect(page.locator("#outdated")).to_have_count(0)
    expect(page.locator("#result")).to_contain_text("51 years")


def test_a_unit_is_converted_in_sight(server: Server, visit: Visit) -> None:
    page = visit(f"{server.url}/?example=0")
    page.get_by_label("Serum cholesterol chol").fill("6")
    page.get_by_label("Unit of Serum cholesterol").select_option("mmol/l")
    expect(page.locator("#converted-chol")).to_have_text("= 232 mg/dl")
    for wrong in ("0x6", "6,0", "Infinity"):
        page.get_by_label("Serum cholesterol chol").fill(wrong)
        expect(page.locator("#converted-chol")).to_be_empty()
    page.get_by_label("Serum cholesterol chol").fill("6")
    press(page)
    expect(page.locator("#result")).to_contain_text("232 mg/dl")
    expect(page.get_by_label("Serum cholesterol chol")).to_have_value("6")


def test_a_file_is_chosen_and_a_request_copied(server: Server, visit: Visit, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("a\n<b>", encoding="utf-8")
    page = visit(f"{server.url}/console/table", permissions=["clipboard-read", "clipboard-write"])
    page.get_by_label("choose a file").set_input_files(file)
    expect(page.get_by_label("Table", exact=True)).to_have_value("a\n<b>")
    page.goto(f"{server.url}/?example=0")
    press(page)
    page.get_by_text("curl", exact=True).click()
    press(page, "Copy curl")
    expect(page.locator("#connection")).to_have_text("Copied.")
    assert page.evaluate("navigator.clipboard.readText()") == page.locator("#snippet-curl").text_content()


def test_nothing_is_stored_and_no_address_has_a_value(server: Server, visit: Visit) -> None:
    page = visit(f"{server.url}/?example=0")
    addresses: list[str] = []
    page.on("request", lambda request: addresses.append(request.url))
    page.get_by_label("ST depression").fill("1.23456")
    press(page)
    expect(page.locator("#result")).to_contain_text("1.23456")
    assert [address for address in addresses if "/static/" not in address] == [
        f"{server.url}/console/predict"
    ]
    assert "1.23456" not in page.url
    assert page.evaluate("localStorage.length + sessionStorage.length + document.cookie.length") == 0
    assert [cookie["value"] for cookie in page.context.cookies()] == ["1"]


ELSEWHERE = """<form method="post" action="{url}/console/predict">
<button>Predict</button><input name="value.age" value="63"></form>"""


def test_another_site_cannot_post_to_it(server: Server, visit: Visit) -> None:
    page = visit("about:blank", complaint="403")
    html = ELSEWHERE.format(url=server.url)
    page.route("http://elsewhere.example/", lambda route: route.fulfill(body=html, content_type="text/html"))
    page.goto("http://elsewhere.example/")
    press(page)
    expect(page.locator("#problem")).to_contain_text("Another site sent this form, so nothing was done")


def test_a_printed_answer_has_no_controls(server: Server, visit: Visit) -> None:
    page = visit(f"{server.url}/?example=1")
    press(page)
    expect(page.locator("#result")).to_be_visible()
    page.emulate_media(media="print")
    expect(page.locator("#result")).to_be_visible()
    expect(page.get_by_role("navigation")).to_have_count(0)
    expect(page.get_by_text("not a medical device")).to_be_visible()
