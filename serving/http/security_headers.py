"""Security headers: a browser may do with a page only what the page says it needs."""

from collections.abc import Iterable

from starlette.responses import HTMLResponse

Header = tuple[bytes, bytes]

NOSNIFF = (b"x-content-type-options", b"nosniff")
NO_REFERRER = (b"referrer-policy", b"no-referrer")
POLICY = b"content-security-policy"
NEVER = ("base-uri", "form-action", "frame-ancestors")
"""Directives that `default-src` does not cover."""
DOCUMENTS = (b"text/html", b"application/xhtml+xml", b"image/svg+xml")
"""Media types that a browser renders as a document and runs scripts in."""


def policy(*needs: str) -> str:
    """Return a Content-Security-Policy that allows what is named, such as "script-src 'self'"."""
    named = {need.partition(" ")[0] for need in needs}
    never = (directive for directive in NEVER if directive not in named)
    return "; ".join(("default-src 'none'", *needs, *(f"{directive} 'none'" for directive in never)))


class Page(HTMLResponse):
    """A page with the Content-Security-Policy of what it needs: without needs it is static."""

    def __init__(self, content: str | bytes, *needs: str) -> None:
        super().__init__(content, headers={POLICY.decode(): policy(*needs)})


def guarded(headers: Iterable[Header]) -> list[Header]:
    """Return a response's headers with the security headers; every document gets a policy."""
    every = [*headers, NOSNIFF]
    given = dict(every)
    if given.get(b"content-type", b"").startswith(DOCUMENTS):
        every.append(NO_REFERRER)
        if POLICY not in given:
            every.append((POLICY, policy().encode()))
    return every
