"""Decompression stops at its limit, in steps of any size; a body that becomes large waits for its turn."""

import asyncio
import gzip
import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message

from serving.errors import MalformedBody, PayloadTooLarge
from serving.http.admission import Admission
from serving.http.gzip_body import GzipBody
from serving.request import SMALL_BODY, Lifecycle, RequestRecord
from serving.setting_groups import RequestLimits
from serving.turns import Turns

BYTES = st.binary(max_size=3000) | st.integers(0, 100_000).map(bytes)


@given(st.lists(BYTES, min_size=1, max_size=5), st.integers(1, 50_000))
def test_any_members_are_read_in_any_steps(contents: list[bytes], step: int) -> None:
    body = GzipBody(b"".join(map(gzip.compress, contents)), 500_000)
    whole = b"".join(contents)
    enough = 0
    while enough < len(whole):
        enough += step
        assert body.read(enough) == whole[:enough]
    assert body.read() == whole


@given(BYTES, st.binary(min_size=1, max_size=50))
def test_what_follows_is_read_as_a_member(content: bytes, rest: bytes) -> None:
    with pytest.raises(MalformedBody):
        GzipBody(gzip.compress(content) + rest, 500_000).read()


@given(st.binary(max_size=10_000))
def test_any_data_is_read_or_rejected(data: bytes) -> None:
    try:
        content = GzipBody(data, 100).read()
    except (MalformedBody, PayloadTooLarge):
        return
    assert content == gzip.decompress(data)


def test_a_bomb_is_never_decompressed_further_than_its_limit() -> None:
    layer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(layer.compress(bytes(1 << 20)) for _ in range(200)) + layer.flush()
    body = GzipBody(bomb, 10_000)
    assert len(body.read(5000)) == 5000
    with pytest.raises(PayloadTooLarge, match="10000 bytes at most, decompressed"):
        body.read()
    assert len(body._content) == 10_001  # noqa: SLF001  # what was held, which no answer shows


class CountedTurns(Turns):
    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []

    async def take(self, size: int = 0) -> int:
        self.sizes.append(size)
        return await super().take(size)


@pytest.mark.parametrize(
    ("size", "turns"), [(SMALL_BODY, []), (SMALL_BODY + 1, [SMALL_BODY + 1]), (500_000, [500_000])]
)
def test_a_body_that_becomes_large_takes_a_turn(size: int, turns: list[int]) -> None:
    body = json.dumps("x" * (size - 2)).encode()
    counted = CountedTurns()
    limits = RequestLimits(
        body_bytes=1_000_000, body_seconds=1, batch_rows=1, active_requests=1, queue_seconds=1
    )
    headers = {b"content-type": b"application/json", b"content-encoding": b"gzip"}

    async def receive() -> Message:
        return {"type": "http.request", "body": gzip.compress(body), "more_body": False}

    admission = Admission(limits, Lifecycle(turns=counted), faults=None)
    assert asyncio.run(admission.body(RequestRecord("id", headers), receive)) == json.loads(body)
    assert counted.sizes == turns
