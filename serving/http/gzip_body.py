"""A body that was sent with Content-Encoding: gzip, decompressed no further than its limit."""

import zlib

from serving.errors import MalformedBody, PayloadTooLarge

GZIP = 16 + zlib.MAX_WBITS
"""zlib's number for a gzip header and trailer around the data."""

PIECE = 4096
"""Bytes of compressed data that are read at once; a member that ends has what follows of its piece copied."""

MOST_MEMBERS = 1000
"""gzip data may have several members, each of which costs microseconds, even if it is empty."""


class GzipBody:
    """Decompresses a body step by step: never more than a byte above `max_bytes`, whatever was sent."""

    def __init__(self, compressed: bytes, max_bytes: int) -> None:
        self._compressed = memoryview(compressed)
        self._max_bytes = max_bytes
        self._offset = 0
        self._members = 0
        self._content = bytearray()
        self._begin_member()

    def read(self, enough: int | None = None) -> bytes:
        """Return what has been decompressed once that is `enough` bytes, or the whole body.

        MalformedBody where the data is not gzip, is not whole, or is followed by something else;
        PayloadTooLarge where the body is larger than its limit.
        """
        enough = self._max_bytes + 1 if enough is None else min(enough, self._max_bytes + 1)
        while not self._is_whole and len(self._content) < enough:
            self._decompress(enough - len(self._content))
        if len(self._content) > self._max_bytes:
            raise PayloadTooLarge(
                f"The body may have {self._max_bytes} bytes at most, decompressed; send smaller batches."
            )
        return bytes(self._content)

    @property
    def expected_bytes(self) -> int:
        """How large the whole body will be, as its last bytes say, which are checked once it is read."""
        said = int.from_bytes(self._compressed[-4:], "little")
        return max(len(self._content), min(said, self._max_bytes))

    @property
    def _is_whole(self) -> bool:
        return self._member.eof and self._offset == len(self._compressed)

    def _decompress(self, most: int) -> None:
        """Decompress up to so many bytes of the next piece."""
        if self._member.eof:
            self._begin_member()
        piece = self._member.unconsumed_tail or self._next_piece()
        try:
            content = self._member.decompress(piece, most)
        except zlib.error:
            raise _broken() from None
        if not (piece or content):
            raise _broken()
        self._content += content
        if self._member.eof:
            self._offset -= len(self._member.unused_data)

    def _next_piece(self) -> memoryview:
        piece = self._compressed[self._offset : self._offset + PIECE]
        self._offset += len(piece)
        return piece

    def _begin_member(self) -> None:
        self._members += 1
        if self._members > MOST_MEMBERS:
            raise MalformedBody(f"The body has more than {MOST_MEMBERS} gzip members; compress it as one.")
        self._member = zlib.decompressobj(GZIP)


def _broken() -> MalformedBody:
    return MalformedBody("The body is not whole gzip data, as its Content-Encoding says; send it again.")
