"""Renders the runbooks as HTML, which the server answers browsers with.

`make runbooks` runs it; tests/unit/test_runbooks.py holds the committed files to it.
"""

import re
from html import escape
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from serving.app import RUNBOOKS
from serving.http.routes.runbooks import STYLE, list_runbooks

PAGES = RUNBOOKS / "html"

RUNBOOK = re.compile(r"((?:runbooks/)?[A-Za-z]+)\.md")
PAGE = """\
<!doctype html>
<!-- Rendered from monitoring/runbooks/ by `make runbooks`; do not edit. -->
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="stylesheet" href="{style}">
</head>
<body>
{navigation}<main>
{body}</main>
</body>
</html>
"""
NAVIGATION = '<nav><a href="../runbooks">All runbooks</a></nav>\n'


def render() -> dict[Path, str]:
    """Return the content of each page."""
    files = {PAGES / f"{path.stem}.html": runbook_page(path) for path in sorted(RUNBOOKS.glob("*.md"))}
    listed = render_markdown(list_runbooks(path.stem for path in files))
    index = PAGE.format(title="Runbooks", style=f"runbooks/{STYLE}", navigation="", body=listed)
    return files | {PAGES / "index.html": index}


def runbook_page(path: Path) -> str:
    body = render_markdown(path.read_text(encoding="utf-8"))
    return PAGE.format(title=escape(path.stem), style=STYLE, navigation=NAVIGATION, body=body)


def render_markdown(text: str) -> str:
    """Return HTML in which HTML is text, and links lead to what the server answers."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(text)
    for token in tokens:
        token.children = served_links(token.children or [])
    return str(parser.renderer.render(tokens, parser.options, {}))


def served_links(children: list[Token]) -> list[Token]:
    """Return a line's tokens with links to other pages; one to another file stays as its text."""
    kept: list[Token] = []
    dropped = False
    for token in children:
        if token.type == "link_open":
            href = str(token.attrs["href"])
            runbook = RUNBOOK.fullmatch(href)
            dropped = not runbook and not href.startswith("https://")
            token.attrs["href"] = runbook[1] if runbook else href
        if not (dropped and token.type in ("link_open", "link_close")):
            kept.append(token)
    return kept


def main() -> None:
    files = render()
    PAGES.mkdir(exist_ok=True)
    for stale in set(PAGES.iterdir()) - set(files):
        stale.unlink()
    for path, content in files.items():
        path.write_text(content, encoding="utf-8")
    print(f"wrote {len(files)} pages to monitoring/runbooks/html/")


if __name__ == "__main__":
    main()
