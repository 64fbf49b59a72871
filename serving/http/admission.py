"""What a POST request must pass before its values are read: predictions and feedback share these limits."""

from dataclasses import dataclass
from typing import Any

from starlette.types import Receive

from serving.errors import Overloaded
from serving.http.body import read_json
from serving.inference.faults import Faults
from serving.request import Lifecycle, RequestRecord
from serving.setting_groups import RequestLimits


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
        if lifecycle.active > most and lifecycle.active - len(lifecycle.sending) > most:
            raise Overloaded(
                "The server has too many requests to answer; try again.", headers={"Retry-After": "1"}
            )
        body = await read_json(record.headers, receive, limits.body_bytes, limits.body_seconds)
        if self.faults:
            await self.faults.inject(record)
        return body
