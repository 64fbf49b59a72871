"""Downloads from a server that is not trusted: bounded in bytes and in time, and from its origin alone.

A proxy that http_proxy, https_proxy and no_proxy name is used, as by urllib. No message repeats what the
server says, other than the host to which it redirects.
"""

from collections.abc import Callable
from concurrent.futures import Future
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse, IncompleteRead, RemoteDisconnected
from io import BytesIO
from threading import Thread
from time import monotonic
from typing import BinaryIO, TypeVar
from urllib.error import URLError
from urllib.parse import SplitResult, urljoin, urlsplit
from urllib.request import (
    HTTPHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    UnknownHandler,
)

from registry.address import host_and_port, shown

SILENCE_SECONDS = 10
"""Longest wait for a connection, and for the next bytes of an answer."""

PIECE_BYTES = 65_536
REFUSAL_BYTES = 1024 * 1024
"""Most bytes of an answer with another status than 200."""

MOST_REDIRECTS = 5
REDIRECTS = {301, 302, 303, 307, 308}
PORTS = {"http": 80, "https": 443}

Returned = TypeVar("Returned")


class DownloadError(Exception):
    """Nothing usable came, for this reason; the reason goes on from 'ADDRESS: '."""


class StatusError(DownloadError):
    """The server answered with another status than 200, and this content."""

    def __init__(self, status: int, content: bytes) -> None:
        super().__init__(f"it answered {phrase(status)}")
        self.status = status
        self.content = content


class TooLongError(DownloadError):
    """The server sends more than what is taken."""


class Origin:
    """A server of some kind, asked with these headers until a deadline, `seconds` from now."""

    def __init__(self, address: SplitResult, headers: dict[str, str], kind: str, seconds: float) -> None:
        self._address = address
        self._kind = kind
        self._seconds = seconds
        self._deadline = monotonic() + seconds
        self._headers = headers
        self._opener = OpenerDirector()
        for handler in (ProxyHandler(), UnknownHandler(), HTTPHandler(), HTTPSHandler()):
            self._opener.add_handler(handler)

    def get(self, path: str, most_bytes: int, sink: BinaryIO) -> None:
        """Write what is under a path into a sink; DownloadError says why that cannot be."""
        left = self._deadline - monotonic()
        try:
            within(left, lambda: self._exchange(path, most_bytes, sink))
        except TimeoutError:
            raise DownloadError(f"the whole took longer than {self._seconds:g} s, and was given up") from None

    def _exchange(self, path: str, most_bytes: int, sink: BinaryIO) -> None:
        url = f"{shown(self._address)}{path}"
        try:
            for _ in range(MOST_REDIRECTS):
                request = Request(url, headers=self._headers)  # noqa: S310  # the opener knows no other schemes
                with self._opener.open(request, timeout=SILENCE_SECONDS) as response:
                    if response.status == HTTPStatus.OK:
                        copy(response, most_bytes, sink)
                        return
                    if response.status not in REDIRECTS:
                        refusal = BytesIO()
                        copy(response, REFUSAL_BYTES, refusal)
                        raise StatusError(response.status, refusal.getvalue())
                    url = self._redirected(url, response.headers.get("Location", ""))
        except (OSError, HTTPException, ValueError) as error:
            raise DownloadError(reason(error, self._kind)) from None
        raise DownloadError("it redirects again and again")

    def _redirected(self, url: str, location: str) -> str:
        """Return where a redirect leads within the origin; a user or password that it names is not used."""
        target = urlsplit(urljoin(url, location))
        if origin(target) != origin(self._address):
            raise DownloadError(
                f"it redirects to {target.scheme}://{host_and_port(target)}, which is not followed: "
                "name the address that answers"
            )
        return target._replace(netloc=host_and_port(self._address), fragment="").geturl()


def origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or PORTS.get(parts.scheme)


def copy(response: HTTPResponse, most_bytes: int, sink: BinaryIO) -> None:
    """Write a body into a sink in pieces; DownloadError where it is too long, cut off or cannot be kept.

    `read1` never reads more than a piece at once; `read` takes a chunk of size -1 for everything that comes.
    """
    announced, written = response.length, 0
    if (announced or 0) > most_bytes:
        raise too_long(most_bytes)
    while written != announced and (piece := response.read1(PIECE_BYTES)):
        written += len(piece)
        if written > most_bytes:
            raise too_long(most_bytes)
        try:
            sink.write(piece)
        except OSError as error:
            raise DownloadError(f"what it sends cannot be kept: {error.strerror}") from None
    if announced is not None and written != announced:
        raise IncompleteRead(b"")


def too_long(most_bytes: int) -> TooLongError:
    return TooLongError(f"it sends more than the {most_bytes:,} bytes that are taken")


def reason(error: Exception, kind: str) -> str:
    """Return why a server gave no answer, in no words of its own."""
    cause = error.reason if isinstance(error, URLError) and isinstance(error.reason, Exception) else error
    if isinstance(cause, RemoteDisconnected):
        return "it closes the connection without an answer"
    if isinstance(cause, IncompleteRead):
        return "its answer is cut off"
    if isinstance(cause, HTTPException):
        return f"what it sends is not HTTP ({type(cause).__name__})"
    if isinstance(cause, TimeoutError):
        return f"no {kind} answers there (nothing came for {SILENCE_SECONDS} s)"
    if isinstance(cause, OSError) and cause.strerror:
        return f"no {kind} answers there ({cause.strerror})"
    return f"no {kind} can be asked there: is the address right, and the proxy of the environment?"


def phrase(status: int) -> str:
    """Return a status with its name: the standard's, whatever the server calls it."""
    return f"{status} {HTTPStatus(status).phrase}" if status in set(HTTPStatus) else str(status)


def within(seconds: float, work: Callable[[], Returned]) -> Returned:
    """Do work for so long at most; TimeoutError gives it up, while a thread that keeps nothing alive goes on.

    Timeouts of sockets bound each read, and not a name server or a header that comes a byte at a time.
    """
    done: Future[Returned] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001  # raised to whoever waits
            done.set_exception(error)

    Thread(target=run, daemon=True).start()
    return done.result(max(0.0, seconds))
