"""A log line that is written without `logging` is whole and has the shape that `logging` gives."""

import json
import logging
import os

import pytest

from serving import logs
from serving.logs import JsonFormatter, write_line

FIELDS = '"status":200,"route":"/predict"'


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What reaches standard output when the system accepts ten bytes at a time."""
    taken: list[bytes] = []

    def write(descriptor: int, data: bytes) -> int:
        assert descriptor == 1
        taken.append(data[:10])
        return len(data[:10])

    monkeypatch.setattr(logs, "_as_json", True)
    monkeypatch.setattr(os, "write", write)
    return taken


def test_a_line_is_written_whole(written: list[bytes]) -> None:
    write_line(logging.getLogger("serving"), logging.INFO, "request", FIELDS)
    line = b"".join(written)
    assert line.endswith(b"\n")
    assert json.loads(line)["route"] == "/predict"


def test_it_has_the_members_that_logging_gives(
    written: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    log = logging.getLogger("serving")
    write_line(log, logging.ERROR, "request", FIELDS)
    with caplog.at_level(logging.INFO, "serving"):
        log.error("request", extra={"fields": json.loads(f"{{{FIELDS}}}")})
    fast, usual = json.loads(b"".join(written)), json.loads(JsonFormatter().format(caplog.records[0]))
    assert list(fast) == list(usual)
    assert len(fast.pop("time")) == len(usual.pop("time"))
    assert fast == usual
