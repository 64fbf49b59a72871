"""The live page in a browser: what it shows, how it follows, and for whom."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.accessibility import violations
from tests.browser.conftest import NAMES, SECONDS, Visit, probe_rows
from tests.harness import Server, eventually, free_port

WIDTHS = (320, 640, 1920)

expect.set_options(timeout=SECONDS * 1000)


@pytest.fixture(scope="session")
def busy(server: Server, folder: Path) -> Server:
    """The server after predictions by each model, of which its live page has two moments and more."""
    for name in NAMES:
        rows = probe_rows(folder, name)
        for row in rows:
            assert server.post(f"/models/{name}/predict", row).status_code == 200
    server.post("/predict", {})
    eventually(
        lambda: (
            "<svg" in server.get("/console/live").text
            and "Values over time" in server.get("/console/live").text
        ),
        "the page has moments to draw",
    )
    return server


@pytest.fixture(scope="session")
def asking(folder: Path) -> Iterator[Server]:
    """A server whose Prometheus is gone: its page offers times that a process alone does not know."""
    server = Server(
        {"MODELS_DIR": str(folder), "PROMETHEUS_URL": f"http://127.0.0.1:{free_port()}"}
    ).wait_until_ready()
    yield server
    assert server.stop() == 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scripts", [True, False], ids=["with JavaScript", "without"])
def test_it_shows_what_was_predicted(busy: Server, visit: Visit, name: str, *, scripts: bool) -> None:
    page = visit(f"{busy.url}/console/live?model={name}", java_script_enabled=scripts)
    expect(page.locator("#source")).to_contain_text("this process, since")
    expect(page.locator("#model-status")).to_contain_text("loaded")
    expect(page.locator("nav a[aria-current=page]")).to_have_text("Live")
    for heading in ("Alerts", "Traffic", "Model", "Drift", "Objectives"):
        expect(page.get_by_role("heading", name=heading, exact=True)).to_be_visible()
    charts = page.locator(".chart")
    assert charts.count() > 2
    assert page.locator(".chart[role=img][aria-label]").count() == charts.count()
    assert page.locator("article:has(.chart) details table").count() == charts.count()
    expect(page.locator("#pause")).to_be_visible(visible=scripts)


def test_the_range_and_the_feature_are_chosen_without_scripts(asking: Server, visit: Visit) -> None:
    page = visit(f"{asking.url}/console/live", java_script_enabled=False)
    page.get_by_label("Distribution of").select_option("chol")
    page.get_by_role("button", name="1 hour").click()
    expect(page.get_by_label("Distribution of")).to_have_value("chol")
    expect(page.get_by_role("button", name="1 hour")).to_have_attribute("aria-current", "true")
    page.get_by_role("link", name="Refresh").click()
    expect(page.get_by_label("Distribution of")).to_have_value("chol")


def test_no_time_is_offered_that_a_process_does_not_know(busy: Server, visit: Visit) -> None:
    page = visit(f"{busy.url}/console/live?minutes=60")
    expect(page.locator("#source")).to_contain_text("(15 minutes at most)")
    expect(page.get_by_role("button", name="hour")).to_have_count(0)
    expect(page.get_by_role("heading", name="What this model is for")).to_be_visible()


def test_a_section_that_only_prometheus_knows_is_a_sentence(busy: Server, visit: Visit) -> None:
    page = visit(f"{busy.url}/console/live")
    expect(page.locator("#section-objectives .without")).to_contain_text("set PROMETHEUS_URL to see it")
    expect(page.locator("#section-objectives .without")).to_contain_text("Slow answers: burn rate")
    expect(page.locator("#section-objectives article")).to_have_count(0)
    expect(page.locator("#section-traffic .without")).to_have_count(0)


REMEMBER = """() => {
  window.kept = document.querySelector("article:has(.chart) details");
  window.spoken = [];
  const live = document.querySelectorAll("[role=status], [role=alert], [aria-live]");
  const observer = new MutationObserver(changes => spoken.push(...changes));
  live.forEach(part => observer.observe(part, { childList: true, characterData: true, subtree: true }));
}"""


def test_it_follows_and_leaves_focus_tables_and_position(busy: Server, visit: Visit) -> None:
    page = visit(f"{busy.url}/console/live")
    summary = page.locator("article:has(.chart) summary").first
    summary.press("Enter")
    page.evaluate(REMEMBER)
    read = page.locator("#source [data-time]").text_content()
    before = total(page)
    busy.post("/predict", {"instances": []})
    busy.post("/models/heart-disease/predict", {})
    expect(page.locator("#source [data-time]")).not_to_have_text(read or "")
    eventually(lambda: total(page) > before, "errors are counted on the page")
    assert page.evaluate("kept.isConnected && kept.open && kept.contains(document.activeElement)")
    assert page.evaluate("scrollY") > 0
    expect(summary).to_be_in_viewport()
    assert page.evaluate("spoken.length") == 0


def total(page: Page) -> float:
    return float(page.locator("#total-errors data").get_attribute("value") or "nan")


IMPATIENT = """const real = setTimeout;
window.setTimeout = (action, milliseconds) => real(action, milliseconds === 5000 ? 50 : milliseconds)"""


def test_it_rests_while_it_is_paused_or_hidden(busy: Server, visit: Visit) -> None:
    page = visit(f"{busy.url}/console/live")
    page.add_init_script(IMPATIENT)
    page.reload()
    reads: list[str] = []
    page.on("request", lambda request: reads.append(request.url))
    eventually(lambda: page.evaluate("1") and len(reads) > 1, "it follows")
    page.get_by_role("button", name="Pause").press("Enter")
    settled(page, reads)
    page.get_by_role("button", name="Pause").press("Enter")
    eventually(lambda: page.evaluate("1") and len(reads) > 1, "it follows again")
    page.evaluate("Object.defineProperty(document, 'hidden', { get: () => window.away ?? true })")
    settled(page, reads)
    page.evaluate("window.away = false; document.dispatchEvent(new Event('visibilitychange'))")
    eventually(lambda: page.evaluate("1") and len(reads) > 0, "it follows when somebody looks")


def settled(page: Page, reads: list[str]) -> None:
    """Let what is under way end, and see that nothing is read for a second: it would be often."""

    def quiet() -> bool:
        reads.clear()
        page.evaluate("new Promise(resume => setTimeout(resume, 1000))")
        return not reads

    eventually(quiet, "it rests")


def test_it_says_when_the_api_is_gone_and_recovers(folder: Path, visit: Visit) -> None:
    settings = {"MODEL": "iris", "MODELS_DIR": str(folder), "PORT": str(free_port())}
    server = Server(settings).wait_until_ready()
    try:
        page = visit(f"{server.url}/console/live", complaint="Failed to load resource")
        since = page.locator("#source strong").text_content() or ""
        server.stop()
        expect(page.locator("#connection")).to_contain_text(
            "The API does not answer. These are the last values"
        )
        expect(page.locator("#source strong")).to_have_text(since)
        server = Server(settings).wait_until_ready()
        expect(page.locator("#source strong")).not_to_have_text(since)
        expect(page.locator("#connection")).to_be_empty()
    finally:
        server.stop()


@pytest.mark.parametrize("name", NAMES)
def test_it_is_accessible_in_both_themes_and_at_each_width(busy: Server, visit: Visit, name: str) -> None:
    page = visit(f"{busy.url}/console/live?model={name}", color_scheme="light", reduced_motion="reduce")
    page.get_by_role("button", name="Pause").click()
    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        assert violations(page, *(["color-contrast"] if theme == "dark" else [])) == [], theme
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, width


def test_a_printed_page_has_charts_and_no_controls(busy: Server, visit: Visit) -> None:
    page = visit(f"{busy.url}/console/live")
    page.emulate_media(media="print")
    expect(page.locator(".chart").first).to_be_visible()
    for control in ("#pause", "#refresh", ".controls select"):
        expect(page.locator(control).first).to_be_hidden()


def test_keys_alone_choose_a_range_and_open_a_table(asking: Server, busy: Server, visit: Visit) -> None:
    page = visit(f"{asking.url}/console/live")
    press_until(page, lambda: page.evaluate("document.activeElement.textContent") == "6 hours")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="6 hours")).to_have_attribute("aria-current", "true")
    page.goto(f"{busy.url}/console/live")
    press_until(page, lambda: page.evaluate("document.activeElement.nodeName") == "SUMMARY")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.parentElement.open")


def press_until(page: Page, found: Callable[[], bool]) -> None:
    for _ in steps():
        page.keyboard.press("Tab")
        if found():
            return
    raise AssertionError("the keyboard does not reach it")


def steps() -> Iterator[int]:
    yield from range(100)
