"""Requests, their durations and errors, in the vocabulary of the main model."""

from collections.abc import Iterable
from dataclasses import dataclass

from bundle.concepts import (
    ACTIVE_REQUESTS,
    ERRORS,
    LATENCY_BUCKETS,
    QUEUE,
    REQUEST_DURATION,
    REQUESTS,
)
from bundle.declaration import Declaration
from serving.metrics.vocabulary import Observer, Recorder, Vocabulary, unmeasured

UNMATCHED = ("other", "unmatched")
"""Method and endpoint of a request that no declared route takes."""


@dataclass(frozen=True)
class DeclaredRoute:
    """A method and route that requests can match, and the statuses and error types of its answers.

    Routes for probes, for scrapes and for the documentation's pages are counted and not `timed`.
    """

    method: str
    endpoint: str
    statuses: tuple[int, ...]
    error_types: tuple[str, ...]
    timed: bool


class HttpMetrics:
    """Counts requests and errors, and observes durations."""

    def __init__(
        self,
        vocabulary: Vocabulary,
        declaration: Declaration,
        routes: Iterable[DeclaredRoute],
    ) -> None:
        self._vocabulary = vocabulary
        self._declaration = declaration
        self._requests: dict[tuple[str, str], dict[int, Recorder]] = {}
        self._durations: dict[tuple[str, str], Observer] = {}
        self._errors: dict[tuple[str, str], Recorder] = {}
        self.add_active = vocabulary.up_down_counter(declaration, ACTIVE_REQUESTS)
        self.observe_queue = vocabulary.histogram(declaration, QUEUE, LATENCY_BUCKETS)
        for declared in routes:
            route = (declared.method, declared.endpoint)
            for status in declared.statuses:
                self._request(route, status)(0)
            for error_type in declared.error_types:
                self._error(error_type, declared.endpoint)(0)
            if declared.timed:
                self._duration(route)
            else:
                self._durations[route] = unmeasured

    def count_response(
        self, route: tuple[str, str], status: int, seconds: float | None, trace_id: str = ""
    ) -> None:
        """Count a response of a route (method, endpoint); `seconds` is None where it is not timed.

        A trace id is shown as the exemplar of a duration.
        """
        try:
            self._requests[route][status](1)
        except KeyError:
            self._request(route, status)(1)
        if seconds is None:
            return
        try:
            self._durations[route](seconds, trace_id)
        except KeyError:
            self._duration(route)(seconds, trace_id)

    def count_error(self, error_type: str, endpoint: str) -> None:
        self._error(error_type, endpoint)(1)

    def _request(self, route: tuple[str, str], status: int) -> Recorder:
        """Return the counter of a method, endpoint and status, made where there is none yet."""
        method, endpoint = route
        by_status = self._requests.setdefault(route, {})
        if status not in by_status:
            by_status[status] = self._vocabulary.counter(
                self._declaration, REQUESTS, method=method, endpoint=endpoint, status=str(status)
            )
        return by_status[status]

    def _duration(self, route: tuple[str, str]) -> Observer:
        method, endpoint = route
        if route not in self._durations:
            self._durations[route] = self._vocabulary.histogram(
                self._declaration, REQUEST_DURATION, LATENCY_BUCKETS, method=method, endpoint=endpoint
            )
        return self._durations[route]

    def _error(self, error_type: str, endpoint: str) -> Recorder:
        key = (error_type, endpoint)
        if key not in self._errors:
            self._errors[key] = self._vocabulary.counter(
                self._declaration, ERRORS, error_type=error_type, endpoint=endpoint
            )
        return self._errors[key]
