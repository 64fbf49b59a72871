"""`python -m tools.screenshots`: writes docs/screenshots/ from the console in Debian's Chromium.

The live page needs a quarter of an hour of traffic.
"""

import io
import shutil
import sys
import time
from itertools import cycle

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from bundle.declaration import load_declaration
from tests.harness import HEART, PROJECT, Server
from training.table import read_table

FOLDER = PROJECT / "docs" / "screenshots"
SIZE = {"width": 1200, "height": 860}
COLORS = 64
"""Few, so that a picture has less than 100 KB."""

MINUTES = 15
OF_LIVE = {"width": 1200, "height": 1500}


def main() -> int:
    executable = shutil.which("chromium")
    if executable is None:
        print("error: there is no browser: apt-get install chromium", file=sys.stderr)
        return 1
    FOLDER.mkdir(exist_ok=True)
    server = Server({}).wait_until_ready()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
            take(browser, server.url)
            use(server, MINUTES)
            take_live(browser, server.url)
            browser.close()
    finally:
        server.stop()
    return 0


def take(browser: Browser, url: str) -> None:
    for theme in ("light", "dark"):
        context = browser.new_context(color_scheme=theme, viewport=SIZE)  # type: ignore[arg-type]
        page = context.new_page()
        page.goto(f"{url}/?example=1")
        page.get_by_role("button", name="Predict", exact=True).click()
        page.locator("#result").wait_for()
        save(page, f"predict-{theme}")
        if theme == "light":
            page.goto(f"{url}/console/models")
            save(page, "models")
        context.close()


def use(server: Server, minutes: float) -> None:
    """Predict the rows of the training data, a few a second, of which each fiftieth is invalid."""
    rows, _ = read_table(HEART / "data.csv", load_declaration(HEART))
    begin = time.monotonic()
    for number, row in enumerate(cycle(rows)):
        spent = (time.monotonic() - begin) / 60
        if spent >= minutes:
            return
        if number % 200 == 0:
            print(f"traffic for the live page: {spent:.0f} of {minutes:.0f} minutes")
        server.post("/predict", {} if number % 50 == 0 else row)
        time.sleep(0.1 + 0.1 * (int(spent) % 3))


def take_live(browser: Browser, url: str) -> None:
    for theme in ("light", "dark"):
        context = browser.new_context(color_scheme=theme, viewport=OF_LIVE)  # type: ignore[arg-type]
        page = context.new_page()
        page.goto(f"{url}/console/live?feature=chol")
        page.locator("#drift").wait_for()
        save(page, f"live-{theme}")
        context.close()


def save(page: Page, name: str) -> None:
    page.evaluate("scrollTo(0, 0); document.activeElement.blur()")
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    path = FOLDER / f"{name}.png"
    picture.quantize(COLORS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"wrote {path.relative_to(PROJECT)}, {path.stat().st_size // 1024} KB")


if __name__ == "__main__":
    sys.exit(main())
