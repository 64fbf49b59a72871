"""Open connections, their limit, and those that the server closed before their clients did."""

from collections.abc import Mapping
from typing import Literal, get_args

from bundle.concepts import CLOSED_CONNECTIONS, CONNECTIONS_LIMIT, OPEN_CONNECTIONS
from bundle.declaration import Declaration
from serving.metrics.vocabulary import Recorder, Vocabulary

Reason = Literal[
    "silent",
    "slow_head",
    "large_head",
    "malformed",
    "unread_body",
    "unread_answer",
    "memory",
    "replaced",
]
"""Why the server closed a connection; docs/operations.md says what each means."""


class ConnectionMetrics:
    def __init__(self, vocabulary: Vocabulary, declaration: Declaration) -> None:
        self.set_open = vocabulary.gauge(declaration, OPEN_CONNECTIONS)
        self.set_limit = vocabulary.gauge(declaration, CONNECTIONS_LIMIT)
        self._closed: Mapping[str, Recorder] = {
            reason: vocabulary.counter(declaration, CLOSED_CONNECTIONS, reason=reason)
            for reason in get_args(Reason)
        }
        for count in self._closed.values():
            count(0)

    def count_closed(self, reason: Reason) -> None:
        self._closed[reason](1)
