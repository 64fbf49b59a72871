"""What the parts of the server know of a request while it is answered, and of all requests together."""

from dataclasses import dataclass, field

from serving.logs import LogFields


class ClientGone(Exception):  # noqa: N818
    """The client hung up before its request was complete: there is nobody to answer."""


Client = tuple[str, int] | None


@dataclass(slots=True)
class Sending:
    """A large answer that is on its way: since when, and how much of it."""

    begun: float
    pieces: int = 0


@dataclass(slots=True)
class Lifecycle:
    """What the process is busy with: requests being answered, and whether it is on its way out.

    `sending` has the large answers by client, `cut` why a connection was cut, until its request is logged.
    """

    active: int = 0
    draining: bool = False
    sending: dict[Client, Sending] = field(default_factory=dict)
    cut: dict[Client, str] = field(default_factory=dict)


@dataclass(slots=True)
class RequestRecord:
    """What is known of a request, and what it leaves behind for its log line, as scope["record"]."""

    request_id: str
    headers: dict[bytes, bytes]
    query: bytes = b""
    error_type: str | None = None
    log: LogFields = field(default_factory=LogFields)
