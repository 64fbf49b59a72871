"""Forms that a browser posts: read within the limits of the API, and only from the console's own pages."""

from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlsplit

from pydantic_core import to_json
from starlette.types import Message, Receive

from serving.errors import MalformedBody, OtherSite, UnsupportedMediaType
from serving.http.body import read_body
from serving.request import RequestRecord

FORM = b"application/x-www-form-urlencoded"
MOST_FIELDS = 10_000
COOKIE = "console"
"""A cookie without content that a browser sends only with requests of the same site."""

REFUSED = "Another site sent this form, so nothing was done; send it from the console's own page."


async def read_form(
    record: RequestRecord, receive: Receive, most_bytes: int, most_seconds: float
) -> dict[str, str]:
    """Return the fields of a posted form, the last of each name; ApiError where it is not to be read."""
    headers = record.headers
    reject_other_sites(headers)
    if headers.get(b"content-type", b"").partition(b";")[0].strip().lower() != FORM:
        raise UnsupportedMediaType(
            "Send the form as the page does, as 'application/x-www-form-urlencoded'; programs use /predict."
        )
    content = await read_body(receive, most_bytes, most_seconds)
    try:
        return dict(parse_qsl(content.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS))
    except ValueError:
        raise MalformedBody("The form is not encoded as text in UTF-8.") from None


def reject_other_sites(headers: Mapping[bytes, bytes]) -> None:
    """Raise OtherSite for a request that a page of another site has made.

    Browsers say so in Sec-Fetch-Site, but over plain HTTP only to localhost; then by Origin. A form of a page
    with `no-referrer` has the origin "null": there the cookie decides. Programs send none of them.
    """
    site, origin = headers.get(b"sec-fetch-site"), headers.get(b"origin")
    if site is not None:
        own = site in (b"same-origin", b"none")
    elif origin is None:
        own = True
    elif origin == b"null":
        own = has_cookie(headers.get(b"cookie", b""))
    else:
        own = urlsplit(origin.decode("latin-1")).netloc == headers.get(b"host", b"").decode("latin-1")
    if not own:
        raise OtherSite(REFUSED)


def has_cookie(sent: bytes) -> bool:
    try:
        return COOKIE in SimpleCookie(sent.decode("latin-1"))
    except CookieError:
        return False


def as_json(record: RequestRecord, value: object, query: bytes = b"") -> Receive:
    """Make the request one with this JSON body and query, as the API's endpoints read it.

    They admit, count, log and answer it then as any other.
    """
    record.headers = {**record.headers, b"content-type": b"application/json"}
    record.query = query
    message: Message = {"type": "http.request", "body": to_json(value), "more_body": False}

    async def receive() -> Message:
        return message

    return receive
