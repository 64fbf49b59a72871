"""`python -m tools.screenshots`: writes docs/screenshots/ from the console in Debian's Chromium."""

import io
import shutil
import sys

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from tests.harness import PROJECT, Server

FOLDER = PROJECT / "docs" / "screenshots"
SIZE = {"width": 1200, "height": 860}
COLORS = 64
"""Few, so that a picture has less than 100 KB."""


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


def save(page: Page, name: str) -> None:
    page.evaluate("scrollTo(0, 0); document.activeElement.blur()")
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    path = FOLDER / f"{name}.png"
    picture.quantize(COLORS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"wrote {path.relative_to(PROJECT)}, {path.stat().st_size // 1024} KB")


if __name__ == "__main__":
    sys.exit(main())
