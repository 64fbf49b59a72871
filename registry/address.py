"""Addresses with a user and a password: what is wrong with one, and how it is shown.

No sentence repeats an address that cannot be read, nor a user, a password or a query: any may be a secret.
"""

import re
from urllib.parse import SplitResult, urlsplit

HOST = re.compile(r"([\w.-]+|\[[0-9A-Fa-f:.]+(%[\w.-]+)?\])?")
TO_ENCODE = "percent-encode @ / ? # in the user and the password: @ is %40, / is %2F, ? is %3F, # is %23"
UNREADABLE = "it cannot be read as scheme://USER:PASSWORD@HOST:PORT/PATH"


def read_address(text: str) -> SplitResult:
    """Return the parts of an address; ValueError says what is wrong with it, without repeating it."""
    _, separator, rest = text.partition("://")
    authority = re.split("[/?#]", rest)[0]
    if rest.count("@") > authority.count("@") or authority.count("@") > 1:
        raise ValueError(TO_ENCODE)
    try:
        parts = urlsplit(text)
        readable = parts.port is None or parts.port > 0
    except ValueError:  # its message repeats the port or the host
        readable = False
    host = re.sub(r":[0-9]*$", "", host_and_port(parts)) if readable else ""
    if not separator or not readable or re.search(r"[\s\x00-\x20\x7f]", text) or not HOST.fullmatch(host):
        raise ValueError(UNREADABLE)
    return parts


def http_address(text: str) -> SplitResult:
    """Return the parts of an HTTP server's address; ValueError says what is wrong, without repeating it."""
    address = read_address(text)
    if address.scheme not in ("http", "https") or not address.hostname:
        raise ValueError(
            "must be http://HOST:PORT or https://HOST:PORT, with USER:PASSWORD@ where it is asked for"
        )
    if address.query or address.fragment:
        raise ValueError("must have no ? and no #")
    if not address.path.isascii():
        raise ValueError("must have a path of ASCII characters: percent-encode the others")
    return address


def host_and_port(parts: SplitResult) -> str:
    return parts.netloc.rpartition("@")[2]


def shown(parts: SplitResult) -> str:
    """Return an address for messages: without user, password, query and fragment."""
    return f"{parts.scheme}://{host_and_port(parts)}{parts.path.rstrip('/')}"


def without_userinfo(text: str) -> str:
    """Return what others say with no user and password in its addresses."""
    return re.sub(r"(?<=://)\S*@", "", text)
