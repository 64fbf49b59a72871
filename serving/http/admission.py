"""What a POST request must pass before its values are read: predictions and feedback share these limits."""

from dataclasses import dataclass
from time import perf_counter
from typing import Any

from starlette.types import Receive

from serving.errors import Overloaded
from serving.http.body import check_content, parse_json, read_body
from serving.http.gzip_body import GzipBody
from serving.inference.faults import Faults
from serving.request import SMALL_BODY, ClientGone, Lifecycle, RequestRecord
from serving.setting_groups import RequestLimits

TOO_LONG = "Large requests have waited too long for some time; try again, or send smaller batches."


def too_long() -> Overloaded:
    return Overloaded(TOO_LONG, headers={"Retry-After": "1"})


@dataclass(frozen=True)
class Admission:
    """Limits that a request must pass before its values are read."""

    limits: RequestLimits
    lifecycle: Lifecycle
    faults: Faults | None

    async def body(self, record: RequestRecord, receive: Receive) -> Any:
        """Return the request's JSON value, or raise the ApiError that rejects it."""
        limits, lifecycle = self.limits, self.lifecycle
        most = limits.active_requests
        # a response that only waits for its client takes no place
        if lifecycle.active > most and lifecycle.active - lifecycle.sending > most:
            raise Overloaded(
                "The server has too many requests to answer; try again.", headers={"Retry-After": "1"}
            )
        compressed = check_content(record.headers, limits.body_bytes)
        content = await read_body(receive, limits.body_bytes, limits.body_seconds)
        large = len(content) > SMALL_BODY or bool(record.query)
        gzip = GzipBody(content, limits.body_bytes) if compressed else None
        if gzip:
            large = large or len(gzip.read(SMALL_BODY + 1)) > SMALL_BODY
        if large:
            if lifecycle.turns.too_long():
                raise too_long()
            await self._take_turn(record, receive, gzip.expected_bytes if gzip else len(content))
        if gzip:
            content = gzip.read()
        body = parse_json(content, record.headers)
        if self.faults:
            await self.faults.inject(record)
            if large:
                await self._take_turn(record, receive, len(content))
        return body

    async def _take_turn(self, record: RequestRecord, receive: Receive, size: int) -> None:
        """Wait for a turn; ClientGone where nobody waits for the response any more."""
        begun = perf_counter()
        record.turn = await self.lifecycle.turns.take(size)
        record.queued += perf_counter() - begun
        if getattr(getattr(receive, "__self__", None), "disconnected", False):  # uvicorn's request
            raise ClientGone
