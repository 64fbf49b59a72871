"""The state of one request while it is answered, and of all requests of the process."""

from dataclasses import dataclass, field

from serving.logs import LogFields
from serving.turns import Turns

SMALL_BODY = 4096
"""Bytes of a decompressed body that is answered at once; a larger one, and an explanation, wait for turns."""


def content_length(value: bytes) -> int:
    """Return a Content-Length that the parser took: it may begin with more zeros than int() reads."""
    return int(value.lstrip(b"0") or b"0")


class ClientGone(Exception):  # noqa: N818
    """The client disconnected before its request was complete: there is nobody to answer."""


@dataclass(slots=True)
class Sending:
    """A large response that is being sent: since when (monotonic seconds), and how many pieces are out."""

    begun: float
    pieces: int = 0


@dataclass(slots=True)
class Connection:
    """What a request shares with the connection that it came by; scope["state"]["connection"].

    `pipelined` is whether a request came before the last one was answered. `cut` is why the server cut the
    connection, until that is logged; `dropped` whether it did so while the request waited for its response,
    through no fault of the client.
    """

    pipelined: bool = False
    sending: Sending | None = None
    cut: str = ""
    dropped: bool = False


@dataclass(slots=True)
class Lifecycle:
    """Requests in flight, how many of them are sending a large response, and whether the process drains."""

    active: int = 0
    sending: int = 0
    draining: bool = False
    turns: Turns = field(default_factory=Turns)


@dataclass(slots=True)
class RequestRecord:
    """A request and what its log line will say; scope["record"].

    `trace_id` is that of the trace that it belongs to; "" is none.
    `queued` is how long it has waited for the server, `client_seconds` how long the server for its client;
    `turn` is what Turns.take returned, 0 without a turn.
    """

    request_id: str
    headers: dict[bytes, bytes]
    query: bytes = b""
    connection: Connection = field(default_factory=Connection)
    trace_id: str = ""
    error_type: str | None = None
    queued: float = 0
    client_seconds: float = 0
    turn: int = 0
    log: LogFields = field(default_factory=LogFields)
