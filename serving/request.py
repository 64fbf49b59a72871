"""The state of one request while it is answered, and of all requests of the process."""

from dataclasses import dataclass, field

from serving.logs import LogFields
from serving.turns import Turns


class ClientGone(Exception):  # noqa: N818
    """The client disconnected before its request was complete: there is nobody to answer."""


Client = tuple[str, int] | None


@dataclass(slots=True)
class Sending:
    """A large response that is being sent: since when (monotonic seconds), and how many pieces are out."""

    begun: float
    pieces: int = 0


@dataclass(slots=True)
class Lifecycle:
    """Requests in flight, and whether the process drains.

    `sending` has the large responses by client; `cut` has why a connection was cut, until that is logged.
    """

    active: int = 0
    draining: bool = False
    turns: Turns = field(default_factory=Turns)
    sending: dict[Client, Sending] = field(default_factory=dict)
    cut: dict[Client, str] = field(default_factory=dict)


@dataclass(slots=True)
class RequestRecord:
    """A request and what its log line will say; scope["record"].

    `queued` is how long it has waited for the server, `client_seconds` how long the server for its client.
    """

    request_id: str
    headers: dict[bytes, bytes]
    query: bytes = b""
    error_type: str | None = None
    queued: float = 0
    client_seconds: float = 0
    log: LogFields = field(default_factory=LogFields)
